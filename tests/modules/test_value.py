import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork.modules import ValueOperator


class Judge(nn.Module):
    def forward(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return observation.sum(-1, keepdim=True) + 10.0 * action.sum(-1, keepdim=True)


def test_writes_the_value_of_a_state_with_a_trailing_one():
    td = ValueOperator(nn.Linear(3, 1))(TensorDict(observation=torch.zeros(4, 3), batch_size=[4]))
    assert td["state_value"].shape == (4, 1)


@pytest.mark.parametrize("action", ["action", ("agents", "action"), ("agents", "left", "action")])
def test_judges_an_action_as_soon_as_a_keys_leaf_is_action(action):
    critic = ValueOperator(Judge(), ["observation", action])
    assert critic.out_keys == ["state_action_value"]
    td = TensorDict({"observation": torch.ones(2, 3), action: torch.ones(2, 2)}, batch_size=[2])
    assert critic(td)["state_action_value"].tolist() == [[23.0], [23.0]]  # 3 · 1 + 10 · (1 + 1)


def test_a_key_that_only_contains_the_word_is_no_action():
    assert ValueOperator(nn.Linear(3, 1), ["action_history"]).out_keys == ["state_value"]


def test_out_keys_that_are_given_prevail():
    assert ValueOperator(nn.Linear(3, 1), ["observation"], ["baseline"]).out_keys == ["baseline"]
