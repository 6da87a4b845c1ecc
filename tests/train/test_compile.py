from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork.modules import ValueOperator
from keywork.train._compile import changing, tensor_function


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about torch
def test_compiled_it_computes_the_same():
    critic = ValueOperator(nn.Linear(3, 1))
    torch._dynamo.utils.counters.clear()
    run, x = tensor_function(critic, compile=True), torch.randn(4, 3)
    (value,) = run(x)
    torch.testing.assert_close(value, critic.module(x))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_otherwise_it_is_the_modules_own():
    critic = ValueOperator(nn.Linear(3, 1))
    assert tensor_function(critic, compile=False) == critic.run


def test_what_changes_is_a_tensor_only_for_what_is_compiled():
    assert changing(0.25, compile=False) == 0.25
    assert torch.equal(changing(0.25, compile=True), torch.tensor(0.25))
