"""What are the derivatives of a network's outputs by its inputs, for a whole batch of points?

jacbench pick batch.py:flow
"""

import torch

torch.manual_seed(1)
W1, b1 = torch.randn(3, 40) / 3**0.5, torch.zeros(40)
W2, b2 = torch.randn(40, 3) / 40**0.5, torch.zeros(3)


def flow(points: torch.Tensor) -> torch.Tensor:
    """Return a learned velocity at each of the points, (B, 3) to (B, 3)."""
    return torch.tanh(points @ W1 + b1) @ W2 + b2


def inputs() -> torch.Tensor:
    """Return a batch."""
    return torch.randn(128, 3)
