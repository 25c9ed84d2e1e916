"""References and oracles in plain NumPy: shown apart from the contestants, and not ranked."""

from __future__ import annotations

from jacbench.backend import Descriptor, MethodInfo

descriptor = Descriptor(
    name="numpy",
    module="numpy",
    distribution="numpy",
    install="pip install numpy",
    loader="jacbench_numpy.backend:NumpyBackend",
    oracle=True,
    methods=(
        MethodInfo("numpy.analytic", "the hand-written Jacobian: the floor"),
        MethodInfo(
            "numpy.analytic-value",
            "the function, then the hand-written Jacobian",
            operator="value_and_jacobian",
        ),
        MethodInfo(
            "numpy.analytic-batch",
            "the diagonal blocks of the hand-written Jacobian",
            operator="batch_jacobian",
        ),
        MethodInfo("numpy.analytic-vjp", "v times the hand-written Jacobian", operator="vjp"),
        MethodInfo("numpy.analytic-jvp", "the hand-written Jacobian times t", operator="jvp"),
        MethodInfo("numpy.central-difference", "central differences, one column at a time"),
        MethodInfo(
            "numpy.central-difference-jvp",
            "a central difference along t",
            operator="jvp",
        ),
        MethodInfo("numpy.complex-step", "the complex-step derivative, one column at a time"),
        MethodInfo("numpy.complex-step-jvp", "the complex-step derivative along t", operator="jvp"),
    ),
)
