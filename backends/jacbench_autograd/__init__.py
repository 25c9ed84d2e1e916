"""HIPS autograd's ways of computing a Jacobian; importing this imports no autograd."""

from __future__ import annotations

from jacbench.backend import Descriptor, MethodInfo

descriptor = Descriptor(
    name="autograd",
    module="autograd",
    distribution="autograd",
    install='pip install "jacbench[autograd]"',
    loader="jacbench_autograd.backend:AutogradBackend",
    methods=(
        MethodInfo("autograd.jacobian", "autograd.jacobian; a tree is flattened to one vector"),
        MethodInfo("autograd.vjp-loop", "autograd.make_vjp once, called per one-hot vector"),
        MethodInfo("autograd.jvp", "autograd.make_jvp, one trace per one-hot column"),
    ),
)
