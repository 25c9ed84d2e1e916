"""What a command line names, as a subject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.picking.loading import by_name, inputs, subject
from jacbench.picking.loading.function_request import Asked
from jacbench.picking.loading.recognition import owner_of
from jacbench.picking.loading.subject import Subject
from tests.picking import subjects
from tests.picking.subjects import evaluated, host, pasted

torch = pytest.importorskip("torch")

pytestmark = [
    # torch's own, at the first use of forward mode
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
]

Write = Callable[..., str]
float64 = subjects.float64


def of_named(text: str, **options: Any) -> Subject:
    found = by_name.load(text)
    wrt = options.pop("wrt", "inputs")
    return subject.of_named(found, inputs.find(found, **options), wrt=wrt)


@pytest.mark.parametrize(
    ("text", "library"),
    [
        ("import torch\nx = torch.ones(3)\ndef f(x): return torch.sin(x)", "torch"),
        ("import jax.numpy as jnp\nx = jnp.ones(3)\ndef f(x): return jnp.sin(x)", "jax"),
        ("import autograd.numpy as np\nx = np.ones(3)\ndef f(x): return np.sin(x)", "autograd"),
        ("import jax\nimport numpy as np\nx = np.ones(3)\nf = jax.jit(lambda x: x ** 2)", "jax"),
        (
            "import torch\ndef inputs(): return torch.ones(3), torch.ones(3)\n"
            "def f(x, w): return torch.sin(x) * w",
            "torch",
        ),
        (
            "import torch, jax.numpy as jnp\nx = jnp.ones(3)\ndef f(x): return torch.sin(x)",
            "torch",
        ),
        ("import torch\nx = torch.ones(3)\nf = torch.nn.Linear(3, 2)", "torch"),
        ("import torch\nx = torch.ones(3)\ndef f(): return torch.nn.Linear(3, 2)", "torch"),
        (
            "import torch\nclass Model:\n    def run(self, x): return torch.sin(x)\n"
            "model = Model()\nf = model.run\nx = torch.ones(3)",
            "torch",
        ),
    ],
)
def test_what_a_file_names(write: Write, text: str, library: str) -> None:
    write(text)
    found = of_named("model.py:f")
    assert found.backends == (library,)
    assert found.problem.name.startswith("model.py:f")
    y, x = pasted(found.spelling)
    assert owner_of(x) == (None if library == "autograd" else library)
    if "nn" not in text:  # which starts anew from other random numbers
        assert np.allclose(host(y), evaluated(found), rtol=1e-6)


def test_a_shape_for_a_module(write: Write) -> None:
    write("import torch\nnet = torch.nn.Linear(3, 2)")
    found = of_named("model.py:net", shape=["5,3"])
    assert found.dtype == "float32"
    assert found.problem.x.shape == (5, 3)
    y, x = pasted(found.spelling)
    assert x.dtype == torch.float32
    assert y.shape == (5, 2)


def test_a_module_that_is_named_by_an_import(write: Write) -> None:
    write("", "project/__init__.py")
    write("import torch\nx = torch.ones(3)\ndef f(x): return torch.sin(x)", "project/model.py")
    found = of_named("project.model:f")
    assert found.problem.name == "project.model:f"
    assert found.spelling.setup == ("from project.model import f, x",)


def test_a_problem_in_a_file(write: Write) -> None:
    write("""
        import numpy as np
        from jacbench import Problem
        found = Problem(name="a/b", function=lambda xp, x: xp.sin(x), x=np.ones(3))
    """)
    found = of_named("model.py:found")
    assert found.problem.name == "a/b"
    y, _ = pasted(found.spelled("torch"))
    assert np.allclose(host(y), np.sin(1.0))


def test_what_stops_gradients_on_purpose_is_told_by_its_user(write: Write) -> None:
    text = "import torch\nx = torch.ones(3)\ndef f(x): return x * x.detach()"
    named = f"{write(text)}:f"
    assert not Asked(named=named).subject().problem.stops_gradient
    asked = Asked.from_json(Asked(named=named, stops_gradient=True).to_json())
    assert asked.subject().problem.stops_gradient
