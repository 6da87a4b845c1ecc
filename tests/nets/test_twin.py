from __future__ import annotations

import torch
from torch import nn

from keywork.nets import twin_of


def test_parameters_and_buffers_are_one_and_attributes_hooks_and_children_are_not():
    module = nn.BatchNorm1d(3)
    module.note = "first"
    twin = twin_of(module)
    assert type(twin) is nn.BatchNorm1d
    assert all(one is other for one, other in zip(twin.parameters(), module.parameters(), strict=True))
    twin.double()  # replaces the buffers
    assert module.running_mean.dtype is torch.float64
    twin.note = "second"
    twin.child = nn.Linear(1, 1)
    twin.register_forward_hook(lambda *args: None)
    assert (module.note, list(module.children()), len(module._forward_hooks)) == ("first", [], 0)
    assert twin.state_dict().keys() - module.state_dict().keys() == {"child.weight", "child.bias"}
