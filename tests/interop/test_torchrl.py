"""Without TorchRL: one message, with the command to type."""

from __future__ import annotations

import sys

import pytest
from torch import nn

from keywork._errors import MissingExtraError
from keywork.interop import spec_from_torchrl, spec_to_torchrl, to_torchrl
from keywork.modules import Actor
from keywork.specs import Unbounded


@pytest.mark.parametrize(
    ("function", "argument"),
    [(to_torchrl, Actor(nn.Linear(3, 1))), (spec_to_torchrl, Unbounded(3)), (spec_from_torchrl, Unbounded(3))],
)
def test_the_message(function, argument, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("torchrl.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchrl", None)  # as if it were not installed, also where it is
    wanted = f"{function.__name__} needs the package 'torchrl', which is not installed: pip install 'keywork[torchrl]'"
    with pytest.raises(MissingExtraError) as caught:
        function(argument)
    assert str(caught.value) == wanted
