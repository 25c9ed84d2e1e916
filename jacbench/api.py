"""The operations of the command line as functions, with the same names."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jacbench import problems
from jacbench.backend import Native
from jacbench.core.cell import Cell
from jacbench.core.errors import JacbenchError
from jacbench.core.progress import Progress, Quiet
from jacbench.core.tree import Tree
from jacbench.derivatives import functions
from jacbench.derivatives.functions import (
    batch_jacobian,
    factored_jacobian,
    jvp,
    prepare,
    sparse_jacobian,
    value_and_jacobian,
    vjp,
)
from jacbench.problems.problem import Problem
from jacbench.reporting import catalog
from jacbench.results import run as results
from jacbench.results import writer
from jacbench.results.run import Run
from jacbench.results.writer import Store
from jacbench.running import driver, in_process, selection
from jacbench.running import resume as resumption
from jacbench.running.selection import Selection
from jacbench.running.settings import Settings

if TYPE_CHECKING:
    from jacbench.sweeping.outcome import Sweep
    from jacbench.sweeping.sizes import Sizes

AUTO = "auto"
"""The method that is picked."""

SWEEP_TIMEOUT_S = 60.0
"""What one cell may take where nothing is said: a sweep goes on until something takes too long."""

__all__ = [
    "batch_jacobian",
    "check",
    "factored_jacobian",
    "jacobian",
    "jvp",
    "list",
    "prepare",
    "run",
    "sparse_jacobian",
    "sweep",
    "value_and_jacobian",
    "vjp",
]


def list() -> dict[str, Any]:  # noqa: A001 - the command's name
    """Return backends, methods, problems and devices; imports no autodiff library.

    Each entry has a ``name``; what is absent has a ``reason``.
    """
    return catalog.everything()


def check(
    *what: str | Problem,
    methods: Sequence[str] = (),
    operators: Sequence[str] = (),
    devices: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    threads: int | Sequence[int] = 1,
    timeout_s: float = 300.0,
    start_timeout_s: float = 120.0,
    memory: str | None = None,
    chunk_size: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    cpus: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Check that the selected methods agree with the reference; time nothing.

    Parameters
    ----------
    what
        Shell patterns over problem names (none: all of them), or :class:`Problem` objects. Named
        problems are checked in worker processes, which may crash or hang; objects in this one,
        whose settings change and stay so: float64 in JAX, torch's threads, products at full
        precision.
    methods, operators, devices, dtypes
        Patterns and names, as on the command line; empty: all methods, all operators, ``cpu``,
        ``float64``.
    threads
        Threads that every library may use; several numbers: each cell with each.
    timeout_s
        What one cell may take, seconds.
    start_timeout_s
        What a worker may take to start, imports included, seconds.
    memory
        What one cell may need, such as ``2GiB``; None: 80 % of what is free is refused before it
        is tried, and 90 % of it ends the worker that takes it.
    chunk_size
        Rows or columns at a time, for methods that take it.
    rtol
        Up to which normwise error, and error of an entry over the size of its row or column, a
        Jacobian agrees; None: what the problem says, or what is usual for the dtype. What a
        method, or the reference, is itself good to is allowed in any case.
    atol
        By how much any entry may be off besides: for a Jacobian that is zero, or nearly; None: what
        the problem says, or 0.
    cpus
        Processors that workers are bound to.
    progress
        Is told what goes on.

    Raises
    ------
    JacbenchError
        For what was asked wrongly, in one line.
    """
    settings = Settings(
        timeout_s=timeout_s,
        start_timeout_s=start_timeout_s,
        memory=memory,
        chunk_size=chunk_size,
        rtol=rtol,
        atol=atol,
        cpus=None if cpus is None else tuple(cpus),
        timed=False,
    )
    return _go(
        what,
        _selection(methods, operators, devices, dtypes, threads),
        settings,
        progress,
        None,
    )


def run(
    *what: str | Problem,
    methods: Sequence[str] = (),
    operators: Sequence[str] = (),
    devices: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    threads: int | Sequence[int] = 1,
    timeout_s: float = 300.0,
    start_timeout_s: float = 120.0,
    memory: str | None = None,
    chunk_size: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    cpus: Sequence[int] | None = None,
    visits: int = 6,
    budget_s: float = 0.6,
    total_s: float | None = None,
    seed: int = 0,
    output: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Check the selected cells, then time those that agree.

    Parameters are those of :func:`check`, and:

    Parameters
    ----------
    visits
        Separate stretches in which each cell is measured, in random order.
    budget_s
        Time spent on timing one cell over all visits, seconds.
    total_s
        Time that the whole run may take, seconds; what is left once every cell has had its visits
        is spent where intervals are widest. None: as long as it takes.
    seed
        Of the random order.
    output
        A folder that gets a results file; None: none is written.
    resume
        A results file that lacks some cells: they are measured as it says, and added to it. Of the
        other arguments only ``total_s`` and ``progress`` count then.

    Raises
    ------
    JacbenchError
        For what was asked wrongly, in one line, before anything is computed.
    """
    if resume is not None:
        return resumption.resume(resume, what, total_s, progress or Quiet())
    settings = Settings(
        visits=visits,
        budget_s=budget_s,
        total_s=total_s,
        timeout_s=timeout_s,
        start_timeout_s=start_timeout_s,
        memory=memory,
        chunk_size=chunk_size,
        rtol=rtol,
        atol=atol,
        cpus=None if cpus is None else tuple(cpus),
        seed=seed,
    )
    chosen = _selection(methods, operators, devices, dtypes, threads)
    return _go(what, chosen, settings, progress, None if output is None else Path(output))


def _selection(
    methods: Sequence[str],
    operators: Sequence[str],
    devices: Sequence[str],
    dtypes: Sequence[str],
    threads: int | Sequence[int],
) -> Selection:
    return Selection(
        methods=methods,
        operators=operators,
        devices=devices,
        dtypes=dtypes,
        threads=threads,
    )


def _say_what_only_workers_can(
    what: Sequence[str | Problem], chosen: Selection, settings: Settings
) -> None:
    """Raise where a problem given as an object is asked for what needs a process of its own."""
    if not any(isinstance(item, Problem) for item in what):
        return
    asked = {
        "several numbers of threads": len(chosen.every_number_of_threads()) > 1,
        "a choice of processors": settings.cpus is not None,
        "a budget": settings.total_s is not None,
    }
    for name, wanted in asked.items():
        if wanted:
            raise JacbenchError(
                f"{name} for a problem given as an object: it runs in this process, and only "
                "workers have that: leave it out"
            )


def _go(
    what: Sequence[str | Problem],
    chosen: Selection,
    settings: Settings,
    progress: Progress | None,
    folder: Path | None,
) -> Run:
    _say_what_only_workers_can(what, chosen, settings)
    given = {item.name: item for item in what if isinstance(item, Problem)}
    patterns = [item for item in what if isinstance(item, str)]
    strangers = [item for item in what if not isinstance(item, (str, Problem))]
    if strangers:
        raise JacbenchError(
            f"{type(strangers[0]).__name__} is neither a pattern over problem names nor a "
            "jacbench.Problem: wrap a function of your own in jacbench.Problem"
        )
    cells: builtins.list[Cell] = []
    if patterns or not given:
        cells += selection.cells(chosen.over(patterns))
        problems.check_brackets([*dict.fromkeys(cell.problem for cell in cells)])
    own = selection.cells(chosen, given=given) if given else []
    save = driver.keep_nothing if folder is None else Store(folder, settings.benchmark_options())
    if not own:
        return driver.drive(cells, settings, progress or Quiet(), save)
    if cells:
        save(results.not_run([*cells, *own]), final=False)
    here = in_process.measure(own, given, settings)
    if cells:
        save(here, final=False)
        # Whoever interrupted the first part does not want the second.
        named = (
            results.not_run(cells)
            if here.interrupted
            else driver.drive(cells, settings, progress or Quiet())
        )
        here = results.joined(named, here)
    save(here, final=True)
    return here


def jacobian(
    f: Callable[[Any], Any],
    x: Tree,
    method: str,
    *,
    argnums: int | Sequence[int] | None = None,
    chunk_size: int | None = None,
    matrix: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Native:
    """Return the Jacobian of ``f`` at ``x``, computed by ``method``.

    The answer is the library's own, and is compared with nothing: where the library is wrong, as
    with a wrong custom derivative rule, so is this. :func:`jacbench.pick` and ``jacbench check``
    compare methods with each other and with differences; so does ``auto`` when it picks.

    Parameters
    ----------
    f
        ``f(x) -> y`` over the library's own arrays (``torch``, ``jax.numpy``, ``autograd.numpy``,
        NumPy); y is a floating-point array of any shape, or a tree of them.
    x
        One of the library's arrays, or a tree of them (see :mod:`jacbench.tree`: dicts, tuples,
        dataclasses, Equinox modules, NNX states); NumPy arrays are converted, to the CPU and at
        their own dtype. What is not floating in a tree is a constant: tokens, masks, None.
    method
        A name of ``jacbench list``: ``torch.func.jacrev``, ``jax.jacfwd``, ... Or ``auto``: the
        fastest that is right, found by :func:`jacbench.pick` at the first call for this function,
        shapes, dtype and device, and kept for the process. Only methods that hold for every x are
        taken.
    argnums
        As in ``jax.jacrev`` and ``torch.func.jacrev``: x is the tuple of f's arguments then,
        ``f(*x)``, and this says which of them the derivative is by, a number or several. The
        others are constants.
    chunk_size
        Rows or columns at a time, for methods that take it.
    matrix
        True: one (m, n) array, rows and columns in C order, the leaves of x side by side;
        :func:`jacbench.tree.columns` says which columns are whose. The leaves of y are one below
        the other.
    cache
        For ``auto``: a JSON file in which what was picked is kept beyond this process, for this
        machine, these versions and this source of ``f``.

    Returns
    -------
    The library's own arrays, of shape ``y.shape + leaf.shape`` for each leaf of x and in the
    structure of x, as ``torch.func.jacrev`` and ``jax.jacrev`` return them. A leaf that y does not
    depend on has zeros, one that is a constant has None. Where y is a tree: that for each of its
    leaves, in its structure, and None for what is not floating. By no inputs, or of no outputs, the
    Jacobian is empty.

    Inside of ``jax.jit``, ``vmap``, ``scan`` or ``grad`` it is traced as JAX's own is; methods that
    use structure look at numbers, and say so.

    Raises
    ------
    JacbenchError
        In one line: an unknown method, an absent backend, an x or y that has no derivative.

    Notes
    -----
    Nothing global is changed: threads, float64 in JAX and TF32 are as the caller set them.

    What ``auto`` keeps, it keeps as :func:`prepare` does: f is taken to be a function of x alone,
    and what it closes over to stay the same.
    """
    if method == AUTO:
        if argnums is not None:
            raise JacbenchError(
                "jacobian(method='auto', argnums=...): give a function of x alone, such as "
                "lambda x: f(x, constant)"
            )
        return _by_pick(f, x, chunk_size, cache, matrix=matrix)
    if cache is not None:
        raise JacbenchError(
            f"jacobian(method={method!r}): cache is for method='auto': leave it out"
        )
    return functions.jacobian(f, x, method, argnums=argnums, chunk_size=chunk_size, matrix=matrix)


def _by_pick(
    f: Callable[[Any], Any],
    x: Tree,
    chunk_size: int | None,
    cache: str | os.PathLike[str] | None,
    *,
    matrix: bool,
) -> Native:
    from jacbench.picking import auto  # noqa: PLC0415 - only where it is asked for

    if chunk_size is not None:
        raise JacbenchError(
            "jacobian(method='auto'): the chunk size is picked too: leave chunk_size out"
        )
    derivative = auto.derivative(f, x, None if cache is None else Path(cache))
    return derivative.matrix(x) if matrix else derivative(x)


def sweep(
    problem: str,
    sizes: Mapping[str, Sizes],
    *,
    methods: Sequence[str] = (),
    operators: Sequence[str] = ("jacobian",),
    devices: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    threads: int | Sequence[int] = 1,
    timeout_s: float = SWEEP_TIMEOUT_S,
    start_timeout_s: float = 120.0,
    memory: str | None = None,
    chunk_size: int | None = None,
    cpus: Sequence[int] | None = None,
    visits: int = 6,
    budget_s: float = 0.6,
    total_s: float | None = None,
    seed: int = 0,
    plot: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Measure a problem over sizes: growth of time and memory, and which method wins where.

    Sizes and methods are measured in one run, in random order; a size at which a method takes too
    long, or too much memory, has that verdict, and the others go on.

    Parameters
    ----------
    problem
        Its name in the catalogue.
    sizes
        Values of its parameters: ``{"n": "16:4096"}`` for doublings, ``"16:4096:5"`` for five
        geometric steps, ``"16,32,100"`` or a sequence for a list. Several that vary go together,
        step by step.
    operators
        Names, as on the command line.
    plot
        A file that gets the plot: PNG or SVG, by its ending. It needs matplotlib.
    output
        A folder that gets a results file, with what was found as ``sweep``; None: none is written.
    methods, devices, dtypes, threads, timeout_s, start_timeout_s, memory, chunk_size, cpus
        As for :func:`jacbench.check`.
    visits, budget_s, total_s, seed, progress
        As for :func:`jacbench.run`.

    Raises
    ------
    JacbenchError
        For what was asked wrongly, in one line, before anything is computed.
    """
    # a call of jacobian() does without all of that
    from jacbench.reporting import sweep_plot  # noqa: PLC0415
    from jacbench.sweeping.document import document  # noqa: PLC0415
    from jacbench.sweeping.outcome import outcome  # noqa: PLC0415
    from jacbench.sweeping.sizes import plan  # noqa: PLC0415

    asked = plan(problem, sizes)
    file = None if plot is None else Path(plot)
    if file is not None:
        sweep_plot.check(file)
    measured = run(
        *asked.names,
        methods=methods,
        operators=operators,
        devices=devices,
        dtypes=dtypes,
        threads=threads,
        timeout_s=timeout_s,
        start_timeout_s=start_timeout_s,
        memory=memory,
        chunk_size=chunk_size,
        cpus=cpus,
        visits=visits,
        budget_s=budget_s,
        total_s=total_s,
        seed=seed,
        output=output,
        progress=progress,
    )
    found = outcome(measured, asked)
    if found.run.path is not None:
        found.run.path = writer.write(found.run.path, document(found))
    if file is not None:
        sweep_plot.draw(found, file)
    return found
