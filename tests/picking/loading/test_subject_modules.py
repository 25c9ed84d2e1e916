"""Modules of torch, Equinox and Flax as subjects."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from jacbench.picking.loading import code_setup, subject
from jacbench.picking.loading.inputs import Inputs
from tests.picking import subjects
from tests.picking.subjects import X, as_jax_comes, evaluated, host, pasted, refusal

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

pytestmark = [
    # torch's own, at the first use of forward mode
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
]

float64 = subjects.float64


class Net(torch.nn.Module):
    """Two layers, in float32 as torch makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.last(torch.tanh(self.first(x)))


def test_a_torch_module() -> None:
    net = Net()
    x = torch.tensor(X, dtype=torch.float32)
    expected = host(net(x))
    for given, notes in (
        (x, ()),
        (X, ("x is converted to float32, in which the module computes",)),
    ):
        found = subject.of(net, given)
        assert found.kind == "torch.nn.Module"
        assert found.backends == ("torch",)
        assert (found.dtype, found.device, found.notes) == ("float32", "cpu", notes)
        assert found.evaluates_float64
        assert np.allclose(evaluated(found), expected, rtol=1e-5)
        assert found.spelling.f == "model"
        y, _ = pasted(found.spelling, model=net, x=given)
        assert np.allclose(host(y), expected, rtol=1e-5)
    assert subject.of(net.double(), X).dtype == "float64"
    assert refusal(net, jnp.asarray(X)).startswith("model is a module of torch, and x is an array")


def test_a_torch_module_by_its_parameters() -> None:
    net = Net()
    found = subject.of(net, X, wrt="parameters", name="net", f="net")
    assert set(found.problem.x) == {name for name, _ in net.named_parameters()}
    y, params = pasted(found.spelling, net=net, x=X)
    assert list(params) == [name for name, _ in net.named_parameters()]
    assert np.allclose(host(y), evaluated(found), rtol=1e-5)
    tokens = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 2))
    assert refusal(tokens, torch.arange(3)).endswith("wrt='parameters' differentiates by those")
    assert subject.of(tokens, torch.arange(3), wrt="parameters").dtype == "float32"
    assert "give 'parameters' or 'inputs'" in refusal(net, X, wrt="weights")


def test_a_module_that_holds_plain_tensors() -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.tensor(X, dtype=torch.float32)

        def forward(self, x: Any) -> Any:
            return self.w @ x * torch.sin(x)

    found = subject.of(Plain(), X)
    assert found.kind == "torch.nn.Module"
    assert (found.dtype, found.evaluates_float64) == ("float32", True)


def test_a_module_of_several_inputs() -> None:
    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 3)

        def forward(self, state: Any, action: Any) -> Any:
            return {"next": self.layer(state) * action}

    step = Step().double()
    given = Inputs(arguments=(X, 2 * X), names=("state", "action"), argnum=1)
    found = subject.of(step, given, output="next")
    assert found.problem.x.tolist() == (2 * X).tolist()
    y, x = pasted(found.spelling, model=step, state=X, action=2 * X)
    assert np.allclose(host(x), 2 * X)
    assert np.allclose(host(y), evaluated(found), rtol=1e-12)
    assert "output='next'" in refusal(step, given)


class Named(NamedTuple):
    """What a model returns by name and by number."""

    logits: Any
    hidden: Any


@dataclass
class Fields:
    """What a model returns by field alone."""

    logits: Any
    hidden: Any


class Keyed(OrderedDict[str, Any]):
    """What a model returns by key, and as an attribute too."""

    def __init__(self, logits: Any, hidden: Any) -> None:
        super().__init__(logits=logits, hidden=hidden)


@pytest.mark.parametrize("kind", [Named, Fields, Keyed])
@pytest.mark.parametrize("wrt", ["inputs", "parameters"])
def test_pasted_lines_take_an_output_as_its_class_gives_it(kind: Any, wrt: str) -> None:
    class Model(Net):
        def forward(self, x: Any) -> Any:
            hidden = torch.tanh(self.first(x))
            return kind(logits=self.last(hidden), hidden=hidden)

    model = Model()
    x = torch.tensor(X, dtype=torch.float32)
    found = subject.of(model, x, output="logits", wrt=wrt)
    y, _ = pasted(found.spelling, model=model, x=x)
    assert np.allclose(host(y), host(Net.forward(model, x)))


@pytest.mark.parametrize("known", [True, False])
def test_pasted_lines_by_parameters_give_keywords_and_output(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scaled(Net):
        def forward(self, x: Any, *, scale: Any) -> Any:
            return {"y": self.last(torch.tanh(self.first(x)) * scale)}

    if not known:  # as of a model class that some other backend brings
        monkeypatch.setattr(code_setup, "_BY_PARAMETERS", {})
    model, size = Scaled(), torch.tensor([1.0, 2.0, 3.0, 4.0])
    given = Inputs(
        arguments=(torch.tensor(X, dtype=torch.float32),),
        keywords={"scale": size},
        keyword_names={"scale": "size"},
    )
    found = subject.of(model, given, wrt="parameters", output="y")
    y, _ = pasted(found.spelling, model=model, x=given.arguments[0], size=size)
    assert np.allclose(host(y), evaluated(found), rtol=1e-5)


def test_layers_in_train_mode_are_named_by_a_note() -> None:
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.0), torch.nn.Tanh()
    )
    x = torch.ones(5, 3) * torch.linspace(0.1, 1.0, 5)[:, None]
    (note,) = subject.of(model, x).notes
    assert note.startswith("layer '1' (BatchNorm1d) is in train mode: y of a sample depends on")
    assert subject.of(model.eval(), x).notes == ()


@as_jax_comes
def test_an_equinox_module() -> None:
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    found = subject.of(model, X)
    assert found.kind == "Equinox module"
    assert (found.backends, found.dtype) == (("jax",), "float32")
    y, _ = pasted(found.spelling, model=model, x=X)
    assert np.allclose(y, evaluated(found), rtol=1e-5)
    found = subject.of(model, X, wrt="parameters")
    y, _ = pasted(found.spelling, model=model, x=X)
    assert np.allclose(y, evaluated(found), rtol=1e-5)


@as_jax_comes
def test_a_flax_module() -> None:
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    for wrt in ("inputs", "parameters"):
        found = subject.of(model, jnp.asarray(X), wrt=wrt)
        assert found.kind == "Flax NNX module"
        y, _ = pasted(found.spelling, model=model, x=jnp.asarray(X))
        assert np.allclose(y, evaluated(found), rtol=1e-5)


def test_a_linen_module() -> None:
    linen = pytest.importorskip("flax.linen")
    assert refusal(linen.Dense(2), X).endswith(
        "is a Flax Linen module, which holds no parameters: pass the function "
        "lambda x: model.apply(variables, x)"
    )
