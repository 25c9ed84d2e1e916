"""What each method declines, cell by cell: one that declines more than it must would go unnoticed.

What a library cannot do is said here by problem and method; a new problem that something declines
needs its line.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from jacbench.backend import registry
from jacbench.core.cell import Verdict
from jacbench.problems.problem import Problem
from tests.contract.cells import INFO, INSTANCES, problem_of

_TORCH_FORWARD = (
    *("torch.functional-forward", "torch.vmap-jvp", "torch.func.jacfwd*", "torch.vmap-jacfwd"),
    *("torch.func.jvp", "torch.forward-ad", "torch.jvp-by-jacfwd"),
)
_TORCH_REVERSE_TRANSFORMS = (
    *("torch.vmap-vjp", "torch.func.jacrev*", "torch.value-and-vmap-vjp"),
    *("torch.func.vjp", "torch.vjp-by-jacrev"),
)
_LINEARIZE = "torch.func.linearize*"
_JAX_FORWARD = ("jax.jacfwd*", "jax.linearize*", "jax.jvp*")
_JAX_REVERSE = ("jax.jacrev*", "jax.vjp*", "jax.map-vjp", "jax.value-and-vjp")
_LEGACY_VMAP = ("torch.functional-forward",)
"""It runs on ``torch._vmap_internals``, which has no batching rule for a vector times a matrix."""

UNSUPPORTED: dict[str, tuple[str, ...]] = {
    "basics/logistic-loss": _LEGACY_VMAP,
    "shape/small": _LEGACY_VMAP,
    "shape/tall": _LEGACY_VMAP,
    "shape/wide": _LEGACY_VMAP,
    "shape/square": _LEGACY_VMAP,
    "shape/scalar": _LEGACY_VMAP,
    # the steps of a loop and the branch of an if depend on a number, which a trace has not
    "awkward/while-loop": (_LINEARIZE, *_JAX_REVERSE),
    "awkward/cond": (_LINEARIZE,),
    "awkward/item-branch": (_LINEARIZE, "autograd.*", *_JAX_FORWARD, *_JAX_REVERSE),
    "awkward/in-place": ("autograd.*",),
    # a rule for one mode only; the older form of a torch Function is for no transform
    "awkward/custom-vjp": (
        *(*_TORCH_FORWARD, _LINEARIZE, *_TORCH_REVERSE_TRANSFORMS),
        *(*_JAX_FORWARD, "autograd.jvp", "autograd.make_jvp"),
    ),
    "awkward/custom-vjp-setup-context": (*_TORCH_FORWARD, _LINEARIZE),
    # randomness under vmap, which is what columns are mapped by
    "awkward/dropout": (
        *("torch.functional-forward", "torch.vmap-jvp", "torch.func.jacfwd*"),
        *("torch.func.linearize", "torch.jvp-by-jacfwd"),
    ),
    "awkward/complex-input": ("*",),
    "awkward/integer-input": ("*",),
    "awkward/linalg": ("autograd.jvp", "autograd.make_jvp"),
    # the fused kernel has no forward derivative, and its backward no derivative at all
    "nn/attention-fused": (*_TORCH_FORWARD, "torch.functional.jvp"),
}
SAMPLES_INTERACT = ("nn/batch-norm", "nn/softmax-over-batch")
NOT_UNSUPPORTED = {
    "awkward/item-branch": ("jax.*-eager", "jax.vjp-loop"),  # they have the numbers
}
KNOWN_FAULTS = {
    "awkward/in-place": (_LINEARIZE,),
    "awkward/dropout": ("torch.func.linearize-jvp",),
    "awkward/no-grad": (*_TORCH_FORWARD, _LINEARIZE),
    "awkward/trace": ("torch.compile-jacrev",),
}
TOO_NEAR_A_KINK = {"basics/generator": ("numpy.central-difference*",)}
"""In float32, whose step is longer."""

NAMES = {small: name for name, small in INSTANCES.items()}
"""The catalogue's name of each instance."""


def _matches(told: dict[str, tuple[str, ...]], name: str, method: str) -> bool:
    return any(fnmatchcase(method, pattern) for pattern in told.get(name, ()))


def _by_rule(name: str, problem: Problem, method: str) -> bool:
    """Say whether this kind of method can do this kind of problem in no library."""
    info = INFO[method]
    backend = registry.descriptor_of(method).name
    if info.operator == "batch_jacobian":
        assert problem.in_axes is not None
        shared = problem.in_axes[0] is None
        return name in SAMPLES_INTERACT or (shared and method.endswith(".sum-trick"))
    return (
        (info.by_intermediate and problem.intermediate is None)
        or (problem.stops_gradient and "difference" in method)
        or (problem.function is None and backend not in problem.native)
    )


def expected(instance: str, method: str, dtype: str) -> Verdict:
    """Return the verdict on one of the contract's cells."""
    name = NAMES.get(instance, instance)
    if _by_rule(name, problem_of(instance), method):
        return Verdict.UNSUPPORTED
    if _matches(KNOWN_FAULTS, name, method):
        return Verdict.KNOWN_FAULT
    if dtype == "float32" and _matches(TOO_NEAR_A_KINK, name, method):
        return Verdict.UNSUPPORTED
    if _matches(UNSUPPORTED, name, method) and not _matches(NOT_UNSUPPORTED, name, method):
        return Verdict.UNSUPPORTED
    return Verdict.AGREES
