from __future__ import annotations

import pytest
import torch

from keywork._errors import SpecError
from keywork.modules import EnsembleModule, NetworkConfig, ProbabilisticActor, QValueActor, RunningNorm, ValueOperator
from keywork.modules._from_spec_norm import Standardised
from keywork.specs import Bounded, Categorical, Composite, MultiBinary, Unbounded

SEEN = Composite(
    {
        "camera": Bounded(0, 255, (36, 36, 3), torch.uint8),
        "speed": Unbounded((2,)),
        "gear": Categorical(5),
        "height": Bounded(0.0, 9.0, ()),
        "mask": MultiBinary(3, dtype=torch.bool),
    }
)


def trained(specs=SEEN):
    norm = RunningNorm(specs)
    norm.update(torch.randn(50, 2) * 3.0 + 7.0, torch.rand(50))
    return norm


def test_every_network_of_a_config_has_the_norm_in_common():
    norm = trained()
    config = NetworkConfig(num_cells=(8,), observation_norm=norm)
    networks = [
        ProbabilisticActor.from_spec(SEEN, Categorical(3), action_mask_key="mask", config=config),
        QValueActor.from_spec(SEEN, Categorical(3), dueling=True, config=config),
        ValueOperator.from_spec(SEEN, config=config),
        ValueOperator.from_spec(SEEN, Unbounded((2,)), config=config),
    ]
    td = SEEN.rand(4).update({"mask": torch.ones(4, 3, dtype=torch.bool), "action": torch.zeros(4, 2)})
    for network in networks:
        assert [part for part in network.modules() if isinstance(part, RunningNorm)] == [norm]
        assert all(key in SEEN or key == "action" for key in network.in_keys)
        network(td.clone())
    assert not list(norm.parameters())


def test_a_network_sees_what_the_norm_makes_of_an_observation():
    norm = trained()
    torch.manual_seed(0)
    behind = ValueOperator.from_spec(SEEN, config=NetworkConfig(observation_norm=norm))
    torch.manual_seed(0)
    bare = ValueOperator.from_spec(SEEN)
    td = SEEN.rand(4)
    speed, height = norm(td["speed"], td["height"])
    expected = bare(td.clone().update({"speed": speed, "height": height}))["state_value"]
    assert torch.equal(behind(td)["state_value"], expected)
    assert not torch.equal(bare(td.clone())["state_value"], expected)


def test_an_ensemble_of_them_has_statistics_of_its_own():
    norm = trained()
    critic = ValueOperator.from_spec(SEEN, config=NetworkConfig(num_cells=(4,), observation_norm=norm))
    ensemble = EnsembleModule(critic, 2)
    (own,) = [part for part in ensemble.modules() if isinstance(part, RunningNorm)]
    before = ensemble(SEEN.rand(3))["state_value"]
    own.update(torch.randn(9, 2), torch.rand(9))
    assert before.shape == (3, 2, 1)
    assert own.moments[0].count.tolist() == [59, 59] and norm.moments[0].count == 50


def test_what_a_network_does_not_read_is_refused():
    config = NetworkConfig(observation_norm=RunningNorm({"speed": Unbounded((2,))}))
    with pytest.raises(SpecError) as raised:
        ValueOperator.from_spec({"pose": Unbounded((2,))}, config=config)
    assert str(raised.value) == (
        "a network cannot be built: its observation_norm is for 'speed', which it does not read.\n"
        "  where: NetworkConfig(observation_norm=...)\n"
        "  expected: observations among 'pose'\n"
        "  got: 'speed'\n"
        "  fix: a RunningNorm(observation_spec) for each kind of network: what it reads, and no more"
    )


def test_the_others_are_handed_on_as_they_are():
    gear, speed, height = torch.tensor([3]), torch.ones(1, 2), torch.ones(1)
    out = Standardised(trained(), ["gear", "height", "speed"])(gear, height, speed)
    assert out[0] is gear
    # The mean of speed is about 7, that of height about one half.
    assert bool((out[2] < -1.0).all()) and out[1].item() > 1.0
