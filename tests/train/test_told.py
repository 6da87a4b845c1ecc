from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork._errors import NonFiniteError
from keywork.train import FlatAdam
from keywork.train._told import Told


def test_tells_of_the_means_every_so_many_frames():
    told = Told(["a", "b"], 10)
    told.add([torch.tensor(1.0), torch.tensor(5.0)])
    assert told.at(9) == {}
    told.add([torch.tensor(2.0), torch.tensor(7.0)])
    assert told.at(11) == {"a": 1.5, "b": 6.0}
    assert told.at(30) == {}  # nothing has been added since
    told.add([torch.tensor(4.0), torch.tensor(4.0)])
    assert told.at(31) == {"a": 4.0, "b": 4.0}


def test_a_step_that_could_not_be_taken_is_reported_then():
    net = nn.Linear(1, 1)
    optimizer = FlatAdam(net, lr=0.1)
    told = Told(["norm"], 2, optimizer)
    told.add([optimizer.step(net(torch.tensor([float("nan")])).sum())])
    assert told.at(1) == {}
    with pytest.raises(NonFiniteError, match="1 of the last 1 optimiser steps"):
        told.at(2)
