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
        MethodInfo("numpy.central-difference", "central differences, one column at a time"),
        MethodInfo("numpy.complex-step", "the complex-step derivative, one column at a time"),
    ),
)
