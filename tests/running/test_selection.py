"""Patterns select cells in a fixed order; what cannot be had is said in one line."""

from __future__ import annotations

import numpy as np
import pytest

from jacbench import problems
from jacbench.backend import Descriptor, registry
from jacbench.core import operators
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem
from jacbench.running import selection
from jacbench.running.selection import Selection
from tests.runs import PROBLEM


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch be absent, and everything else be there."""

    def absent(self: Descriptor) -> str | None:
        gone = f"backend {self.name!r} is not installed: run {self.install}"
        return gone if self.name == "torch" else None

    monkeypatch.setattr(Descriptor, "absent", absent)


def select(**parts: object) -> list[str]:
    chosen = {"problems": [PROBLEM], "methods": ["numpy.analytic"]} | parts
    return [cell.key for cell in selection.cells(Selection(**chosen))]  # type: ignore[arg-type]


def refused(**parts: object) -> str:
    with pytest.raises(JacbenchError) as caught:
        select(**parts)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_everything_by_default_is_the_cpu_in_float64() -> None:
    cells = selection.cells(Selection())
    present = [d for d in registry.descriptors().values() if d.absent() is None]
    methods = [info for d in present for info in d.methods]
    assert [(c.problem, c.operator, c.method) for c in cells] == [
        (entry.name, operator, info.name)
        for entry in problems.CATALOGUE
        for operator in operators.offered(batch=entry.batch)
        for info in methods
        if info.operator == operator and (entry.intermediate or not info.by_intermediate)
    ]
    assert {(c.device, c.dtype, c.threads) for c in cells} == {("cpu", "float64", 1)}


def test_operators_in_one_order_and_each_once() -> None:
    chosen = {"methods": ["numpy.*"], "operators": ["vjp", "jacobian", "vjp"]}
    cells = selection.cells(Selection(problems=[PROBLEM], **chosen))  # type: ignore[arg-type]
    assert [cell.operator for cell in cells] == ["jacobian"] * 3 + ["vjp"]
    everything = selection.cells(Selection(problems=["basics/*"], operators=["all"]))
    assert everything == selection.cells(Selection(problems=["basics/*"]))


def test_what_makes_no_sense_is_left_out_unless_it_is_named() -> None:
    assert select(methods=["numpy.*"], operators=["batch_jacobian"]) == [
        f"{PROBLEM}-batch_jacobian-numpy.analytic-batch-cpu-float64"
    ]
    assert not any("batch_jacobian" in key for key in select(methods=["numpy.*"]))
    by_hook = ["torch.register-hook"]
    pytest.importorskip("torch")
    assert select(methods=by_hook) == [f"{PROBLEM}-torch.register-hook-cpu-float64"]
    assert not any("hook" in key for key in select(methods=["torch.*"]))
    by_z = {"problems": [f"{PROBLEM}[wrt=Z]"], "methods": ["torch.*"]}
    assert any("register-hook" in key for key in select(**by_z))


def test_each_method_once_in_the_order_of_the_list() -> None:
    methods = ["numpy.c*", "numpy.complex-step", "numpy.*"]
    only = {"operators": ["jacobian"]}
    assert select(methods=methods, **only) == select(methods=["numpy.*"], **only)
    assert len(set(select(methods=methods, **only))) == 3


def test_dtypes_in_one_order_and_each_once() -> None:
    both = [f"{PROBLEM}-numpy.analytic-cpu-{dtype}" for dtype in ("float64", "float32")]
    assert select(dtypes=["float32", "float64", "float32"]) == both == select(dtypes=["all"])
    assert select(dtypes=["float32"]) == both[1:]


def test_threads_are_part_of_the_cell() -> None:
    assert select(threads=3) == [f"{PROBLEM}-numpy.analytic-cpu-float64-3threads"]


def test_given_problems_take_the_place_of_the_catalogue() -> None:
    mine = Problem(name="mine", function=lambda xp, x: x, x=np.ones(2), in_axes=(0,))
    chosen = Selection(methods=["numpy.analytic", "numpy.analytic-batch"])
    cells = selection.cells(chosen, given={"mine": mine})
    assert [(cell.problem, cell.operator) for cell in cells] == [
        ("mine", "jacobian"),
        ("mine", "batch_jacobian"),
    ]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"problems": ["basics/linear"]}, "unknown problem 'basics/linear': did you mean 'basics/"),
        ({"problems": [PROBLEM, "zzz"]}, "unknown problem 'zzz': jacbench list shows them all"),
        ({"methods": ["numpy.analytical"]}, "did you mean 'numpy.analytic'"),
        ({"methods": ["analytic"]}, "did you mean 'numpy.analytic'"),
        ({"operators": ["hessian"]}, "unknown operator 'hessian'"),
        ({"operators": ["jvps"]}, "did you mean 'jvp'"),
        ({"operators": ["vjp"]}, "'numpy.analytic' computes vjp: numpy.analytic computes jacobian"),
        ({"problems": ["shape/small[k=2]"]}, "shape/small has no 'k': it has m=3, n=6, width=256"),
        ({"problems": ["shape/small[m=0]"]}, "m is '0': give a whole number of at least 1"),
        ({"problems": ["shape/small[m=two]"]}, "m is 'two': give a whole number"),
        ({"problems": ["basics/lin*[m=2]"]}, "basics/linear-sum has no 'm': it has no sizes to"),
        ({"dtypes": ["double"]}, "unknown dtype 'double': known: float32, float64"),
        ({"dtypes": ["Float32"]}, "did you mean 'float32'"),
        ({"devices": ["gpu"]}, "unknown device 'gpu'"),
        ({"devices": ["CPU"]}, "did you mean 'cpu'"),
        ({"devices": ["cuda:x"]}, "unknown device 'cuda:x'"),
        ({"threads": 0}, "--threads 0: give a whole number of at least 1"),
        ({"threads": -3}, "--threads -3"),
    ],
)
def test_slips_are_named_with_what_is_near(parts: dict[str, object], message: str) -> None:
    assert message in refused(**parts)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_where_the_chosen_backends_see_none(device: str) -> None:
    message = refused(devices=[device])
    assert message.startswith(f"device {device!r}: numpy sees no CUDA device here: ")
    assert "--device cpu" in message


def test_cuda_where_one_device_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Descriptor, "devices", lambda _: ["cpu", "cuda:0"])
    assert select(devices=["cuda"]) == [f"{PROBLEM}-numpy.analytic-cuda:0-float64"]
    assert len(select(devices=["all"])) == 2
    assert "numpy sees only 1 CUDA device here" in refused(devices=["cuda:1"])


@pytest.mark.usefixtures("no_torch")
def test_absent_backend_that_was_named() -> None:
    for pattern in ("torch.func.jacrev", "torch.*"):
        assert refused(methods=[pattern]) == (
            "backend 'torch' is not installed: run pip install \"jacbench[torch]\""
        )


@pytest.mark.usefixtures("no_torch")
def test_absent_backend_that_was_not_named_is_left_out_and_told() -> None:
    methods = {cell.method for cell in selection.cells(Selection(problems=[PROBLEM]))}
    assert "numpy.analytic" in methods
    assert not any(method.startswith("torch.") for method in methods)
    assert registry.absent()["torch"].endswith('run pip install "jacbench[torch]"')
    # A pattern across backends takes those that are there.
    assert "jax.jacrev" in "".join(select(methods=["*jacrev"]))
