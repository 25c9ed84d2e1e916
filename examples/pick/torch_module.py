"""How do I get the Jacobian of this module's output by its input?

jacbench pick torch_module.py:model
"""

import torch

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(12, 64),
    torch.nn.SiLU(),
    torch.nn.Linear(64, 64),
    torch.nn.SiLU(),
    torch.nn.Linear(64, 6),
)
x = torch.randn(12)
