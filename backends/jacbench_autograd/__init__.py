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
        MethodInfo(
            "autograd.jacobian",
            "autograd.jacobian; a tree is flattened to one vector",
            mode="reverse",
        ),
        MethodInfo(
            "autograd.vjp-loop", "autograd.make_vjp once, called per one-hot vector", mode="reverse"
        ),
        MethodInfo(
            "autograd.jvp", "autograd.make_jvp, one trace per one-hot column", mode="forward"
        ),
        MethodInfo(
            "autograd.per-sample",
            "the blocks of all samples at once among zeros",
            structure="samples",
        ),
        MethodInfo(
            "autograd.coloured",
            "one product per colour of the sparsity pattern, the entries among zeros",
            structure="sparse",
        ),
        MethodInfo(
            "autograd.coloured-csr",
            "one product per colour of the sparsity pattern, the data of a CSR matrix",
            operator="sparse_jacobian",
            structure="sparse",
        ),
        MethodInfo(
            "autograd.value-and-vjp-loop",
            "make_vjp gives y and the pull-back, called per one-hot vector",
            operator="value_and_jacobian",
        ),
        MethodInfo(
            "autograd.sample-loop",
            "make_vjp per sample, called per one-hot vector",
            operator="batch_jacobian",
        ),
        MethodInfo(
            "autograd.sum-trick",
            "make_vjp once; ones of one output of all samples, pulled back",
            operator="batch_jacobian",
        ),
        MethodInfo("autograd.make_vjp", "autograd.make_vjp, one pull-back", operator="vjp"),
        MethodInfo(
            "autograd.vjp-by-jacobian", "v times the whole autograd.jacobian", operator="vjp"
        ),
        MethodInfo("autograd.make_jvp", "autograd.make_jvp, one trace", operator="jvp"),
        MethodInfo(
            "autograd.make_jvp_reversemode",
            "make_jvp_reversemode: the vjp of the vjp",
            operator="jvp",
        ),
        MethodInfo(
            "autograd.jvp-by-jacobian", "the whole autograd.jacobian times t", operator="jvp"
        ),
    ),
)
