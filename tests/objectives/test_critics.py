import pytest
import torch
from torch import nn

from keywork._errors import ContractError
from keywork.modules import EnsembleModule, GRUModule, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives._critics import Critics, critics_of

OBSERVATION, ACTION = torch.randn(5, 3), torch.randn(5, 2)
HELD = {"observation": OBSERVATION, "action": ACTION, ("next", "observation"): OBSERVATION + 1.0}


def critic() -> ValueOperator:
    return ValueOperator(MLP(5, 1, num_cells=[4]), ["observation", "action"])


def of(networks) -> Critics:
    return Critics(networks, "state_action_value", ["action"])


def test_one_becomes_several_of_which_the_first_is_itself():
    one = critic()
    networks = critics_of("SACLoss", one, 3, "state_action_value")
    assert networks[0] is one and len({id(each) for each in networks}) == 3
    values = of(networks).values(HELD)
    assert values.shape == (5, 3, 1)
    for number, network in enumerate(networks):
        assert torch.equal(values[:, number], network(OBSERVATION, ACTION))
    assert not torch.isclose(values[:, 0], values[:, 1]).any()


def test_a_list_and_an_ensemble_are_taken_as_they_are():
    several = [critic(), critic()]
    assert critics_of("SACLoss", several, 5, "state_action_value") == several
    ensemble = EnsembleModule(critic(), 3)
    assert critics_of("SACLoss", ensemble, 2, "state_action_value") == [ensemble]
    values = of([ensemble]).values(HELD)
    assert torch.equal(values, ensemble(OBSERVATION, ACTION)) and values.shape == (5, 3, 1)


def test_one_step_on_and_with_other_actions():
    networks, other = [critic(), critic()], torch.randn(5, 2)
    critics = of(networks)
    ahead = critics.values_ahead({**HELD, ("next", "action"): other})
    apart = critics.values_apart(HELD, {"action": other})
    for number, network in enumerate(networks):
        assert torch.equal(ahead[:, number], network(OBSERVATION + 1.0, other))
        assert torch.equal(apart[:, number], network(OBSERVATION, other))
    assert torch.equal(critics.values_apart(HELD, {"action": other}, first=True), apart[:, :1])
    ensemble = EnsembleModule(critic(), 2)
    assert of([ensemble]).values_apart(HELD, {"action": other}, first=True).shape == (5, 1, 1)


def test_many_actions_of_each_step():
    network, many = critic(), torch.randn(5, 7, 2)
    values = of([network]).values_of_many(HELD, {"action": many}, 1)
    assert values.shape == (5, 7, 1, 1)
    for number in range(7):
        torch.testing.assert_close(values[:, number, 0], network(OBSERVATION, many[:, number]))


def test_a_value_for_each_choice():
    networks = [TensorDictModule(nn.Linear(3, 4), ["observation"], ["action_value"]) for _ in range(2)]
    values = Critics(networks, "action_value", []).values(HELD)
    assert values.shape == (5, 2, 4)
    assert torch.equal(values[:, 1], networks[1](OBSERVATION))


def recurrent(width: int = 4) -> TensorDictSequential:
    """A critic whose memory has seen the actions taken."""
    joined = TensorDictModule(lambda x, a: torch.cat([x, a], -1), ["observation", "action"], ["both"])
    gru = GRUModule(5, width, in_key="both", out_key="features")
    head = TensorDictModule(nn.Linear(width, 1), ["features"], ["state_action_value"])
    return TensorDictSequential(joined, gru, head)


def test_a_memory_has_seen_the_actions_taken_and_judges_another_one():
    network, time = recurrent(), 6
    held = {
        "observation": torch.randn(2, time, 3),
        "action": torch.randn(2, time, 2),
        "recurrent_state": torch.randn(2, time, 1, 4),
        "is_init": torch.zeros(2, time, 1, dtype=torch.bool),
        ("next", "reward"): torch.zeros(2, time, 1),
    }
    held["is_init"][1, 3] = True
    other = torch.randn(2, time, 2)
    got = of([network]).values_apart(held, {"action": other}).squeeze(-1)
    state = held["recurrent_state"][:, 0]
    for t in range(time):
        judged = network(held["observation"][:, t], other[:, t], state, held["is_init"][:, t])
        taken = network(held["observation"][:, t], held["action"][:, t], state, held["is_init"][:, t])
        value = dict(zip(network.out_keys, judged, strict=True))["state_action_value"]
        state = dict(zip(network.out_keys, taken, strict=True))[("next", "recurrent_state")]
        torch.testing.assert_close(got[:, t], value)


def test_recurrent_copies_would_share_one_state():
    with pytest.raises(ContractError) as caught:
        critics_of("SACLoss", recurrent(), 2, "state_action_value")
    assert str(caught.value) == (
        "SACLoss cannot be built: 1 finding.\n"
        "1. its 2 critics (TensorDictSequential) each carry a state of their own under 'recurrent_state'.\n"
        "   pass an ensemble, which keeps them apart: EnsembleModule(critic, num_copies=2)."
    )
    ensemble = EnsembleModule(recurrent(), 2)
    assert critics_of("SACLoss", ensemble, 2, "state_action_value") == [ensemble]
    assert critics_of("SACLoss", recurrent(), 1, "state_action_value")


class Raw(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 1))

    def forward(self, x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, a], -1) @ self.weight


@pytest.mark.parametrize(
    ("network", "count", "kind"),
    [
        (nn.Linear(5, 1), 2, "no-keys"),
        (ValueOperator(MLP(5, 1), ["observation", "action"], ["q"]), 2, "no-value"),
        ([], 2, "no-critic"),
        (critic(), 0, "no-critic"),
        ([critic()] * 2, 2, "one-critic"),
        (ValueOperator(Raw(), ["observation", "action"]), 2, "equal-members"),
        (ValueOperator(nn.LazyLinear(1), ["observation", "action"]), 2, "lazy-parameter"),
    ],
)
def test_what_can_be_no_critics_is_refused(network, count, kind):
    with pytest.raises(ContractError) as caught:
        critics_of("SACLoss", network, count, "state_action_value")
    assert [finding.kind for finding in caught.value.findings] == [kind]


def test_a_misspelt_value_is_told():
    with pytest.raises(ContractError, match="did you mean 'state_action_values'"):
        critics_of(
            "TD3Loss", ValueOperator(MLP(5, 1), ["observation"], ["state_action_values"]), 2, "state_action_value"
        )
