"""The pytest plugin: the options, and a session's part that waits until a cell is collected.

Importing it imports neither NumPy nor an autodiff library: the variables that pin their threads
are set when the first cell is collected.
"""

from __future__ import annotations

import pytest

from jacbench.running.pytest_session import Session, session_of
from jacbench.running.worker_loop import Turns
from jacbench.workers.channel import Upward


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that select cells, and those between a driver and its worker."""
    group = parser.getgroup("jacbench", "jacbench: checked and timed Jacobians")
    for name, what in (
        ("problem", "problems, as a shell pattern ('basics/*')"),
        ("method", "methods, as a shell pattern ('torch.*')"),
        ("operator", "operators: jacobian, vjp, ... (default: all that a problem has)"),
        ("device", "devices: cpu (default), cuda, cuda:1, all"),
        ("dtype", "dtypes: float64 (default), float32, all"),
    ):
        group.addoption(
            f"--jacbench-{name}",
            action="append",
            default=[],
            metavar=name.upper(),
            help=f"select {what}; may be repeated",
        )
    group.addoption(
        "--jacbench-threads",
        type=int,
        default=1,
        metavar="N",
        help="threads that every library may use (default: 1)",
    )
    group.addoption(
        "--jacbench-chunk-size",
        type=int,
        default=None,
        metavar="N",
        help="rows or columns at a time, for methods that take it",
    )
    group.addoption(
        "--jacbench-memory",
        default=None,
        metavar="SIZE",
        help="what checking one Jacobian may need, e.g. 2GiB (default: 80%% of what is free)",
    )
    for name, what in (
        ("rtol", "normwise and entrywise error up to which a Jacobian agrees (default: by dtype)"),
        ("atol", "what any entry may be off by besides (default: 0)"),
    ):
        group.addoption(f"--jacbench-{name}", type=float, default=None, metavar="X", help=what)
    group.addoption(
        "--jacbench-cpus",
        default=None,
        metavar="LIST",
        help="processors that the session is bound to, e.g. 0,2-3 (default: any)",
    )
    group.addoption(
        "--jacbench-visits",
        type=int,
        default=1,
        metavar="N",
        help="measure each cell in N separate stretches, in random order (default: 1)",
    )
    for name, what in (
        ("cells", "cells and visits to measure, as JSON (between driver and worker)"),
        ("seed", "seed of the random order of visits"),
    ):
        group.addoption(f"--jacbench-{name}", default=None, metavar=name.upper(), help=what)
    group.addoption(
        "--jacbench-worker",
        action="store_true",
        help="run cells as commands on standard input say (between driver and worker)",
    )
    group.addoption(
        "--jacbench-check", action="store_true", help="check agreement, and time nothing"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register this session's part, which waits until a cell is collected."""
    session = Session(config)
    config.pluginmanager.register(session, "jacbench-session")
    if config.getoption("jacbench_worker"):
        config.pluginmanager.register(Turns(session, Upward()), "jacbench-turns")


@pytest.fixture
def jacbench_session(pytestconfig: pytest.Config) -> Session:
    """Return the session's part of this plugin."""
    return session_of(pytestconfig)
