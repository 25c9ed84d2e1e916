"""The libraries' own tests of Jacobians, as cases of our own: does jacbench answer as they do?

Read for their cases, and written anew: ``TestJac`` of torch's ``functorch/test_eager_transforms``
and the Jacobians of its ``autograd/test_functional``, those of JAX's ``api_test``, HIPS autograd's
``tests/test_jacobian``, and what asdex and sparsejac try. A case has the library's own call and
ours; where the library raises, so must we, in a line.

``python -m tests.other_suites`` prints how many of each suite are answered, refused and failed.
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import jacbench as jb
from jacbench import JacbenchError
from jacbench.core import tree


class Point(NamedTuple):
    """A named tuple, as users have them."""

    x: Any
    y: Any


@dataclass(frozen=True)
class Case:
    """One case of another test suite.

    Attributes
    ----------
    suite, name
        Where it stands, and what it is about.
    library
        The library's own answer; it may raise.
    ours
        What jacbench says.
    """

    suite: str
    name: str
    library: Callable[[], Any]
    ours: Callable[[], Any]


def outcome(case: Case) -> str:
    """Return ``answer``, ``refusal`` (one line), or ``fault: ...``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = case.ours()
        except JacbenchError as exc:
            return "refusal" if "\n" not in str(exc) else f"fault: not one line: {exc}"
        except Exception as exc:  # noqa: BLE001 - that is what is looked for
            return f"fault: {type(exc).__name__}: {str(exc)[:80]}"
        try:
            expected = case.library()
        except Exception as exc:  # noqa: BLE001 - whatever the library raises
            return f"fault: the library raises {type(exc).__name__}, and jacbench answers"
    return _compared(found, expected)


def refused_alone(case: Case) -> bool:
    """Say whether jacbench refuses what the library answers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if outcome(case) != "refusal":
            return False
        try:
            case.library()
        except Exception:  # noqa: BLE001 - whatever the library raises
            return False
    return True


REFUSED_ALONE = frozenset(
    {
        # a number that is whole, or complex, has no real derivative
        "jacfwd: an output of integers",
        "jacfwd: a complex output",
        # compressing a Jacobian without zeros costs more than it saves
        "dense",
        "a scalar",
        "sorted",
    }
)
"""What the library answers, and jacbench refuses in a line: by name of the case."""


def _compared(found: Any, expected: Any) -> str:
    names = [tree.names(value) for value in (found, expected)]
    if names[0] != names[1]:
        return f"fault: the structure is {names[0]}, and the library's {names[1]}"
    for name, a, b in zip(names[0], tree.leaves(found), tree.leaves(expected), strict=True):
        if a is None and b is None:
            continue
        one, other = (np.asarray(v.detach() if hasattr(v, "detach") else v) for v in (a, b))
        if one.shape != other.shape:
            return f"fault: {name} has shape {one.shape}, and the library's {other.shape}"
        if not np.allclose(one, other, rtol=1e-5, atol=1e-6):
            return f"fault: {name} differs by {np.abs(one - other).max()}"
    return "answer"


def torch_cases() -> list[Case]:
    """Return those of ``TestJac`` and of ``test_functional``."""
    return [*_test_jac(), *_test_jac_beside(), *_test_functional()]


def _test_jac() -> list[Case]:
    import torch
    from torch.func import jacfwd, jacrev

    torch.manual_seed(0)
    x, y, z = torch.randn(3), torch.randn(3), torch.randn(2, 3)
    cases: list[Case] = []

    def both(name: str, f: Any, given: Any, argnums: Any = None) -> None:
        """Add a case by reverse and by forward mode."""
        arguments = given if argnums is not None else (given,)
        number = 0 if argnums is None else argnums
        if number == -1:
            number = len(arguments) - 1  # torch's jacfwd gives zeros for a negative one (2.13)
        for method, transform in (("jacrev", jacrev), ("jacfwd", jacfwd)):
            cases.append(
                Case(
                    "torch TestJac",
                    f"{method}: {name}",
                    lambda transform=transform: transform(f, argnums=number)(*arguments),
                    lambda method=method: jb.jacobian(
                        f, given, f"torch.func.{method}", argnums=argnums
                    ),
                )
            )

    both("elementwise", torch.sin, x)
    both("not flat", lambda x: x[:, :2] * x.sum(), z)
    both("two arguments, the first", lambda x, y: x * y, (x, y), 0)
    both("two arguments, the second", lambda x, y: x * y, (x, y), 1)
    both("a negative number", lambda x, y: x * y, (x, y), -1)
    both("both arguments", lambda x, y: x * y, (x, y), (0, 1))
    both("both, the other way round", lambda x, y: x * y**2, (x, y), (1, 0))
    both("a tuple of one number gives a tuple of one", lambda x, y: x * y, (x, y), (0,))
    both("an empty tuple of numbers", lambda x, y: x * y, (x, y), ())
    both("a number out of bounds", lambda x, y: x * y, (x, y), 2)
    both("a number twice", lambda x, y: x * y, (x, y), (0, 0))
    both("no number at all", lambda x, y: x * y, (x, y), 0.0)
    both("two outputs", lambda x: (x.sin(), x.cos()), x)
    both("two outputs by two arguments", lambda x, y: (x * y, x.sum() + y), (x, y), (0, 1))
    both("a dict of outputs", lambda x: {"left": x.sin(), "right": {"in": x**2}}, x)
    both("a list in a tuple", lambda x: ([x.sin()], x), x)
    both("a named tuple of outputs", lambda x: Point(x.sin(), x.cos()), x)
    both("a dict of inputs", lambda p: p["a"] * p["b"], {"a": x, "b": y})
    both("nested inputs", lambda p: p[0] * p[1]["c"], (x, {"c": y}))
    both("trees in, trees out", lambda p: {"s": p[0] * p[1], "q": (p[0] ** 2,)}, (x, y))
    both("an input that nothing depends on", lambda x, y: y, (x, y), 0)
    both("an output that depends on nothing", lambda x: (x, torch.ones(2)), x)
    both("a scalar in and out", lambda x: x**3, torch.tensor(2.0))
    both("a scalar out", lambda x: (x**2).sum(), x)
    both("a scalar in", lambda s: s * x, torch.tensor(2.0))
    both("an output without entries", lambda x: x[:0], x)
    both("an output of no tensor", lambda x: "text", x)
    both("no output", lambda x: (), x)
    both("None", lambda x: None, x)
    both("an input of integers", lambda i: i * 1.0, torch.arange(3))
    both("complex numbers", lambda c: c**2, x.to(torch.complex64))
    both("a non-contiguous input", lambda z: z.sum(0) * z[0], z.t())
    both("an expanded input", lambda z: (z**2).sum(0), x.expand(2, 3))
    both("an input that requires a gradient", torch.sin, x.clone().requires_grad_())
    both("a parameter", torch.sin, torch.nn.Parameter(x.clone()))
    both("float32 beside float64", lambda x, y: x.double() * y, (x, y.double()), (0, 1))
    return cases


def _test_jac_beside() -> list[Case]:
    import torch
    from torch.func import jacfwd, jacrev, vmap

    x, z = torch.linspace(-1.0, 2.0, 3), torch.linspace(-1.0, 2.0, 6).reshape(2, 3)
    cases = [
        Case(
            "torch TestJac",
            f"jacrev: {size} rows at a time",
            lambda size=size: jacrev(torch.sin, chunk_size=size)(x),
            lambda size=size: jb.jacobian(torch.sin, x, "torch.func.jacrev", chunk_size=size),
        )
        for size in (1, 2, 100)
    ]
    cases.append(
        Case(
            "torch TestJac",
            "jacrev: no rows at a time",
            lambda: jacrev(torch.sin, chunk_size=-1)(x),
            lambda: jb.jacobian(torch.sin, x, "torch.func.jacrev", chunk_size=-1),
        )
    )

    def with_aux(transform: Any, f: Any) -> Any:
        J, (value, aux) = transform(lambda x: (f(x)[0], f(x)), has_aux=True)(x)
        return (value, aux), J

    for method, transform in (("jacrev-aux", jacrev), ("jacfwd-aux", jacfwd)):
        for name, f in (
            ("a tensor beside", lambda x: (x.sin(), x.cos())),
            ("a tree beside", lambda x: (x.sin(), {"c": (x.cos(),)})),
            ("two outputs, a tensor beside", lambda x: ((x.sin(), x**2), x.cos())),
        ):
            cases.append(
                Case(
                    "torch TestJac",
                    f"{method}: {name}",
                    lambda transform=transform, f=f: with_aux(transform, f),
                    lambda method=method, f=f: jb.value_and_jacobian(
                        f, x, f"torch.func.{method}", has_aux=True
                    ),
                )
            )
        cases.append(
            Case(
                "torch TestJac",
                f"{method}: nothing beside",
                lambda transform=transform: transform(torch.sin, has_aux=True)(x),
                lambda method=method: jb.value_and_jacobian(
                    torch.sin, x, f"torch.func.{method}", has_aux=True
                ),
            )
        )
    cases.append(
        Case(
            "torch TestJac",
            "vmap of jacrev",
            lambda: vmap(jacrev(torch.sin))(z),
            lambda: vmap(lambda row: jb.jacobian(torch.sin, row, "torch.func.jacrev"))(z),
        )
    )
    cases.append(
        Case(
            "torch TestJac",
            "jacrev of jacrev",
            lambda: jacrev(jacrev(torch.sin))(x),
            lambda: jb.jacobian(
                lambda x: jb.jacobian(torch.sin, x, "torch.func.jacrev"), x, "torch.func.jacrev"
            ),
        )
    )

    return cases


def _test_functional() -> list[Case]:
    import torch
    from torch.autograd import functional

    x, y = torch.linspace(-1.0, 2.0, 3), torch.linspace(1.0, 3.0, 3)
    z = torch.linspace(-1.0, 2.0, 6).reshape(2, 3)
    cases: list[Case] = []

    def functional_case(name: str, f: Any, given: Any, argnums: Any = None) -> None:
        for method, options in (
            ("functional", {}),
            ("functional-vectorized", {"vectorize": True}),
        ):
            cases.append(
                Case(
                    "torch test_functional",
                    f"{method}: {name}",
                    lambda options=options: functional.jacobian(f, given, **options),
                    lambda method=method: jb.jacobian(f, given, f"torch.{method}", argnums=argnums),
                )
            )

    functional_case("a scalar out", lambda x: x.exp().sum(), z)
    functional_case("rows", lambda x: x.exp().sum(dim=1), z)
    functional_case("a scalar in", lambda s: s * x, torch.tensor(1.5))
    functional_case("scalars in and out", lambda s: s**2, torch.tensor(1.5))
    functional_case("two inputs", lambda x, y: x * y, (x, y), (0, 1))
    functional_case("two inputs of two shapes", lambda z, y: z @ y, (z, y), (0, 1))
    functional_case("two outputs", lambda z: (z.sum(1), z**2), z)
    functional_case("outputs of several dtypes", lambda x: (x.double(), x * 2), x)
    functional_case("two by two", lambda x, y: (x * y, y.sum()), (x, y), (0, 1))
    functional_case("an output that is another input's", lambda x, y: (y, x), (x, y), (0, 1))
    functional_case("an output without dimensions", lambda x: (x.sum(), x[0]), x)
    functional_case("an output of no tensor", lambda x: "text", x)
    functional_case("an input of no tensor", lambda x: x, "text")
    functional_case("an input of integers", lambda x: x, torch.arange(2))
    return cases


def jax_cases() -> list[Case]:
    """Return those of ``api_test``, asdex and sparsejac."""
    import jax
    import jax.numpy as jnp

    x = jnp.asarray([0.5, -1.0, 2.0])
    R = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3)), jnp.float32)
    cases: list[Case] = []

    def both(name: str, f: Any, given: Any, argnums: Any = None) -> None:
        arguments = given if argnums is not None else (given,)
        number = 0 if argnums is None else argnums
        for method in ("jacrev", "jacfwd"):
            transform = getattr(jax, method)
            cases.append(
                Case(
                    "JAX api_test",
                    f"{method}: {name}",
                    lambda transform=transform: transform(f, argnums=number)(*arguments),
                    lambda method=method: jb.jacobian(
                        f, given, f"jax.{method}-eager", argnums=argnums
                    ),
                )
            )

    both("a linear map", lambda x: R @ x, x)
    both("a product of two arguments", lambda x, y: x * y, (x, 2 * x), 1)
    both("two arguments", lambda x, y: x * y, (x, 2 * x), (0, 1))
    both("a dict in, a dict out", lambda z: {"c": z["a"] * z["b"]}, {"a": x, "b": x})
    both("a tuple in, a tuple out", lambda z: (z[0] * z[1], z[1]), (x, x))
    both("a named tuple", lambda p: Point(p.x * p.y, p.x), Point(x, x))
    both("an ordered dict", lambda p: p["b"] * p["a"], collections.OrderedDict(b=x, a=x))
    both("None among the outputs", lambda x: (x, None), x)
    both("a Python number", lambda s: s * x, 2.0)
    both("a scalar in and out", lambda s: s**2, jnp.float32(3.0))
    both("an input of integers", lambda i: i * 1.0, jnp.arange(3))
    both("an output of integers", lambda x: x.astype(int), x)
    both("complex numbers", lambda c: c**2, x.astype(jnp.complex64))
    both("a complex output", lambda x: x * 1j, x)
    both("an output of no array", lambda x: "text", x)
    both("an argument out of bounds", lambda x, y: x, (x, x), 2)
    both("an input without entries", lambda x: x, x[:0])
    both("an output without entries", lambda x: x[:0], x)
    both("under jit", jax.jit(jnp.sin), x)
    both("float16", jnp.square, x.astype(jnp.float16))
    both("bfloat16", jnp.square, x.astype(jnp.bfloat16))
    both("a value of another dtype", lambda x: jnp.sin(x).astype(jnp.float16), x)
    both("an error of the function's own", lambda x: x.nothing, x)
    for method in ("jacrev", "jacfwd"):
        transform = getattr(jax, method)

        def with_aux(transform: Any = transform) -> Any:
            J, (value, aux) = transform(
                lambda x: (jnp.sin(x), (jnp.sin(x), {"aux": x})), has_aux=True
            )(x)
            return (value, aux), J

        cases.append(
            Case(
                "JAX api_test",
                f"{method}: a tree beside",
                with_aux,
                lambda method=method: jb.value_and_jacobian(
                    lambda x: (jnp.sin(x), {"aux": x}), x, f"jax.{method}-aux", has_aux=True
                ),
            )
        )
        cases.append(
            Case(
                "JAX api_test",
                f"{method}: under vmap and jit",
                lambda transform=transform: jax.vmap(transform(jnp.sin))(jnp.stack([x, 2 * x])),
                lambda method=method: jax.jit(
                    jax.vmap(lambda r: jb.jacobian(jnp.sin, r, f"jax.{method}"))
                )(jnp.stack([x, 2 * x])),
            )
        )
        cases.append(
            Case(
                "JAX api_test",
                f"{method}: of itself",
                lambda transform=transform: transform(transform(jnp.sin))(x),
                lambda method=method: jb.jacobian(
                    lambda x: jb.jacobian(jnp.sin, x, f"jax.{method}"), x, f"jax.{method}"
                ),
            )
        )
    return cases + _sparse_cases(jax, jnp)


def _sparse_cases(jax: Any, jnp: Any) -> list[Case]:
    """Return functions with zeros in their Jacobian, by ways to compress it."""
    x = jnp.asarray(np.linspace(0.5, 2.0, 12), jnp.float32)
    functions = {
        "elementwise": lambda x: x**2,
        "tridiagonal": lambda x: x[:-2] - 2 * x[1:-1] ** 2 + x[2:],
        "periodic": lambda x: x * jnp.roll(x, 1),
        "an arrow": lambda x: x.at[0].set(jnp.sum(x**2)),
        "a convolution": lambda x: jnp.convolve(x, jnp.asarray([1.0, 2.0, 1.0]), "same"),
        "a stride": lambda x: x[::2] * x[1::2],
        "gathered": lambda x: x[jnp.asarray([3, 1, 1])] ** 2,
        "two dimensions": lambda x: jnp.sin(x.reshape(3, 4)).T,
        "a branch by value": lambda x: jnp.where(x > 1, x**2, 0.0),
        "a constant": lambda x: jnp.ones(12),
        "dense": lambda x: jnp.cumsum(x) * x.sum(),
        "a scalar": lambda x: (x[:2] ** 2).sum(),
        "padded": lambda x: jnp.pad(x, 1)[:-2] + x,
        "sorted": jnp.sort,
    }

    def case(suite: str, method: str, name: str, f: Any) -> Case:
        def dense() -> Any:
            value = f(x)
            return np.asarray(jax.jacfwd(f)(x)).reshape(value.size, x.size)

        return Case(
            suite,
            name,
            dense,
            lambda: jb.sparse_jacobian(f, x, method, form="dense"),
        )

    return [
        case(suite, method, name, f)
        for suite, method in _SPARSE.items()
        for name, f in functions.items()
    ]


_SPARSE = {"asdex": "jax.asdex-csr", "sparsejac": "jax.sparsejac-csr"}


def autograd_cases() -> list[Case]:
    """Return those of ``tests/test_jacobian``."""
    import autograd
    import autograd.numpy as anp

    x = np.linspace(0.5, 2.0, 6).reshape(2, 3)

    def case(name: str, f: Any, at: Any = x) -> Case:
        return Case(
            "autograd",
            name,
            lambda: autograd.jacobian(f)(at),
            lambda: jb.jacobian(f, at, "autograd.jacobian"),
        )

    return [
        case("against a gradient", lambda x: anp.sum(anp.sin(x))),
        case("a scalar to a vector", lambda s: anp.array([s, s**2, s**3]), 2.0),
        case("a scalar to an array", lambda s: s * x, np.array(2.0)),
        case("against stacked gradients", lambda x: anp.sin(anp.outer(x[0], x[1]))),
        case("one output", lambda x: anp.sum(x**2, axis=1)),
        case("an array in and out", lambda x: x.T @ x),
        case("an error of the function's own", lambda x: x.nothing),
        Case(
            "autograd",
            "of a Jacobian",
            lambda: autograd.jacobian(autograd.jacobian(lambda v: v**3))(x[0]),
            lambda: jb.jacobian(autograd.jacobian(lambda w: w**3), x[0], "autograd.jacobian"),
        ),
        Case(
            "autograd",
            "of a Jacobian of jacbench's",
            lambda: autograd.jacobian(autograd.jacobian(lambda v: v**3))(x[0]),
            lambda: jb.jacobian(
                lambda v: jb.jacobian(lambda w: w**3, v, "autograd.jacobian"),
                x[0],
                "autograd.jacobian",
            ),
        ),
    ]


def table() -> dict[str, dict[str, int]]:
    """Return by suite how many cases are answered, refused, and faults."""
    counts: dict[str, dict[str, int]] = {}
    for case in (*torch_cases(), *jax_cases(), *autograd_cases()):
        kind = outcome(case)
        row = counts.setdefault(case.suite, {"answer": 0, "refusal": 0, "fault": 0})
        row[kind.partition(":")[0]] += 1
        if kind.startswith("fault"):
            print(f"{case.suite}, {case.name}: {kind}")
    return counts


if __name__ == "__main__":
    for suite, row in table().items():
        print(f"{suite:24}" + "".join(f"{name} {count:4}   " for name, count in row.items()))
