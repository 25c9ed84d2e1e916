"""Which of autograd's ways suits the equilibrium of a chemical mixture?

jacbench pick autograd_function.py:imbalance
"""

import autograd.numpy as np

# C3H8 + air: which atoms each of seven species holds (C, H, O, N), and its free energy
atoms = np.array(
    [
        [1, 0, 2, 0],
        [0, 2, 1, 0],
        [0, 0, 0, 2],
        [1, 0, 1, 0],
        [0, 2, 0, 0],
        [0, 0, 2, 0],
        [0, 0, 1, 1],
    ]
)
energy = np.array([-48.2, -29.8, -24.3, -31.7, -19.4, -27.6, -23.1])
supply = np.array([3.0, 8.0, 10.0, 37.6])


def imbalance(x: np.ndarray) -> np.ndarray:
    """Return how far log-amounts and multipliers are from equilibrium at 40 atmospheres."""
    log_amounts, multipliers = x[:7], x[7:]
    amounts = np.exp(log_amounts)
    potential = energy + log_amounts - np.log(np.sum(amounts)) + np.log(40.0)
    return np.concatenate([potential + np.dot(atoms, multipliers), np.dot(amounts, atoms) - supply])


def inputs() -> np.ndarray:
    """Return a first guess."""
    return np.concatenate([np.log([2.9, 3.9, 18.7, 0.1, 0.1, 0.1, 0.1]), np.full(4, 10.0)])
