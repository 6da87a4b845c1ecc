import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import SpecError, UsageError
from keywork.modules import Actor, ValueOperator
from keywork.objectives import GAE


class Identity(nn.Module):
    """A critic that knows: the value of a state is the observation itself."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return observation


def batch(values, next_values, rewards, done, terminated) -> TensorDict:
    def column(numbers, dtype=torch.float32):
        return torch.tensor([numbers], dtype=dtype).unsqueeze(-1)

    following = {
        "observation": column(next_values),
        "reward": column(rewards),
        "done": column(done, torch.bool),
        "terminated": column(terminated, torch.bool),
    }
    size = [1, len(values)]
    return TensorDict({"observation": column(values), "next": TensorDict(following, batch_size=size)}, batch_size=size)


def test_advantages_of_a_cut_a_terminated_and_a_running_episode_by_hand():
    # gamma = 0.5, lambda = 0.5. Steps: 0 running, 1 truncated, 2 terminated, 3 running when the batch ends.
    td = batch(
        values=[1.0, 2.0, 3.0, 4.0],
        next_values=[2.0, 6.0, 9.0, 8.0],
        rewards=[1.0, 1.0, 1.0, 1.0],
        done=[False, True, True, False],
        terminated=[False, False, True, False],
    )
    GAE(0.5, 0.5, ValueOperator(Identity()))(td)
    # A3 = 1 + 0.5 * 8 - 4 = 1        (the batch ends: nothing follows)
    # A2 = 1 + 0        - 3 = -2      (terminated: the final state is worth nothing)
    # A1 = 1 + 0.5 * 6 - 2 = 2        (truncated: bootstraps from the final observation, carries nothing over)
    # A0 = 1 + 0.5 * 2 - 1 + 0.25 * A1 = 1 + 0.5 = 1.5
    assert td["advantage"].flatten().tolist() == [1.5, 2.0, -2.0, 1.0]
    # target = advantage + value
    assert td["value_target"].flatten().tolist() == [2.5, 4.0, 1.0, 5.0]
    assert td["state_value"].flatten().tolist() == [1.0, 2.0, 3.0, 4.0]


def test_nothing_has_a_gradient():
    td = batch([1.0], [2.0], [1.0], [False], [False])
    GAE(0.9, 0.9, ValueOperator(nn.Linear(1, 1)))(td)
    assert not any(td[key].requires_grad for key in ("advantage", "value_target", "state_value"))


def test_average_gae_standardises_the_advantages_alone():
    td = batch([0.0, 0.0], [0.0, 0.0], [1.0, 3.0], [True, True], [True, True])
    GAE(0.9, 0.9, ValueOperator(Identity()), average_gae=True)(td)
    assert td["advantage"].flatten().tolist() == [-1.0, 1.0]  # mean 2, deviation 1
    assert td["value_target"].flatten().tolist() == [1.0, 3.0]


def test_reads_what_its_critic_reads_at_both_ends_of_a_step():
    critic = ValueOperator(nn.Bilinear(1, 1, 1), ["position", ("sensors", "speed")])
    assert GAE(0.9, 0.9, critic).contract.reads == (
        "position",
        ("sensors", "speed"),
        ("next", "position"),
        ("next", "sensors", "speed"),
        ("next", "reward"),
        ("next", "done"),
        ("next", "terminated"),
    )


def test_a_critic_without_a_value_is_refused():
    with pytest.raises(ValueError) as error:
        GAE(0.9, 0.9, Actor(nn.Linear(1, 1)))
    assert str(error.value) == (
        "GAE cannot be built: 1 finding.\n"
        "1. its critic (Actor (Linear 1 -> 1)) does not write 'state_value'.\n"
        "   provided: it writes 'action'\n"
        "   name the critic's output: ValueOperator(net, in_keys=[...]), or out_keys=['state_value']."
    )


def test_a_flat_batch_is_refused_and_the_same_steps_as_one_row_are_not():
    row = batch([1.0, 2.0], [2.0, 3.0], [1.0, 1.0], [False, False], [False, False])
    with pytest.raises(SpecError) as error:
        GAE(0.9, 0.9, ValueOperator(Identity()))(row.reshape(-1))
    assert str(error.value) == (
        "GAE cannot run: single steps in one dimension are no rows of consecutive steps.\n"
        "  where: the batch size\n"
        "  expected: a batch [*B, T] of rows, whose last dimension is time\n"
        "  got: a batch [2]\n"
        "  fix: estimate before the batch is flattened; or, if this is one row, batch.unsqueeze(0)"
    )
    flat = row.reshape(-1)
    assert GAE(0.9, 0.9, ValueOperator(Identity()))(flat.unsqueeze(0))["advantage"].shape == (1, 2, 1)


@pytest.mark.parametrize("numbers", [(1.5, 0.9), (-0.1, 0.9), (float("nan"), 0.9), (0.9, 1.01), (0.9, -1.0)])
def test_discounts_that_are_no_fractions_are_refused_when_built(numbers):
    with pytest.raises(UsageError, match="expected: a number from 0 to 1"):
        GAE(*numbers, ValueOperator(Identity()))


def test_the_bounds_of_the_discounts_are_discounts():
    assert GAE(0.0, 1.0, ValueOperator(Identity())).lmbda == 1.0


def test_the_message_on_a_discount_says_which_it_is():
    with pytest.raises(UsageError) as error:
        GAE(1.5, 0.9, ValueOperator(Identity()))
    assert str(error.value) == (
        "GAE cannot be built: gamma is out of range.\n"
        "  where: gamma\n"
        "  expected: a number from 0 to 1\n"
        "  got: 1.5\n"
        "  fix: gamma=0.99"
    )
