"""A network along a batch: what it reads at each step and one step on, recurrent or not."""

import pytest
import torch
from torch import nn

from keywork.modules import GRUModule, LSTMModule, OrnsteinUhlenbeckProcessModule, ValueOperator
from keywork.nn import TensorDictModule, TensorDictSequential, recurrent_mode
from keywork.objectives._along import Along
from keywork.specs import Bounded

KINDS = pytest.mark.parametrize(("kind", "states"), [(GRUModule, 1), (LSTMModule, 2)])


def critic(kind):
    torch.manual_seed(0)
    memory = kind(3, 4, in_key="observation", out_key="features")
    return TensorDictSequential(memory, ValueOperator(nn.Linear(4, 1), ["features"]))


def held_for(along, time=5):
    generator = torch.Generator().manual_seed(1)
    held = {}
    for key in (*along.reads, *along.follows):
        if key == "is_init":
            held[key] = torch.zeros(2, time, 1, dtype=torch.bool)
            held[key][0, 2] = True
        else:
            shape = (1, 4) if "recurrent" in str(key) else (3,)
            held[key] = torch.randn(2, time, *shape, generator=generator)
    return held


def test_of_a_network_without_memory():
    net = TensorDictModule(lambda x, y: x + y, ["observation", ("a", "b")], ["state_value"])
    along = Along(net)
    assert along.reads == ["observation", ("a", "b")]
    assert along.follows == [("next", "observation"), ("next", "a", "b")]
    assert not along.recurrent
    held = {key: torch.full((2,), float(n)) for n, key in enumerate([*along.reads, *along.follows])}
    assert along.run(held)[0].tolist() == [1.0, 1.0]  # 0 + 1
    assert along.run_ahead(held)[0].tolist() == [5.0, 5.0]  # 2 + 3


@KINDS
def test_a_memory_reads_no_state_and_no_flags_ahead(kind, states):
    along = Along(critic(kind))
    assert along.recurrent
    assert along.follows == [("next", "observation")]
    assert len(along.reads) == 2 + states


@KINDS
def test_one_step_on_is_from_the_state_after_the_step(kind, states):
    network = critic(kind)
    along = Along(network)
    held = held_for(along)
    value_at = network.out_keys.index("state_value")
    outputs = along.run(held)
    ahead = along.run_ahead(held, outputs)[value_at]
    carried = {key: held[key][:, 0] for key in network.contract.carries}
    for t in range(5):
        step = network.run(*[carried[k] if k in carried else held[k][:, t] for k in along.reads])
        step = dict(zip(network.out_keys, step, strict=True))
        carried = {key: step["next", key] for key in carried}
        torch.testing.assert_close(outputs[value_at][:, t], step["state_value"])
        look = {**carried, "observation": held["next", "observation"][:, t], "is_init": torch.zeros(2, 1) > 0}
        expected = network.run(*[look[key] for key in along.reads])[value_at]
        torch.testing.assert_close(ahead[:, t], expected)


@KINDS
def test_without_outputs_it_runs_by_itself_and_has_no_gradient_from_there(kind, states):
    network = critic(kind)
    along = Along(network)
    held = held_for(along)
    torch.testing.assert_close(along.run_ahead(held)[0], along.run_ahead(held, along.run(held))[0])
    inputs = along.inputs_ahead(held)
    assert not any(x.requires_grad for x in inputs)
    assert any(x.requires_grad for x in along.inputs_ahead(held, along.run(held)))


def test_the_mode_is_that_of_the_run():
    modes = []

    def look(x):
        modes.append(recurrent_mode())
        return x

    along = Along(TensorDictModule(look, ["observation"], ["y"]))
    held = {"observation": torch.zeros(2), ("next", "observation"): torch.zeros(2)}
    along.run(held)
    along.run_ahead(held)
    assert modes == [True, False]
    assert not recurrent_mode()


def test_noise_that_is_carried_is_a_state_like_any_other():
    noise = OrnsteinUhlenbeckProcessModule(Bounded(-1.0, 1.0, (3,)), action_key="observation")
    along = Along(noise)
    assert [key for key in along.reads if "noise" in str(key)]
    assert along.follows == [("next", "observation")]


@KINDS
def test_what_if_something_else_were_seen_the_memory_is_of_what_was(kind, states):
    network = critic(kind)
    along = Along(network)
    held = held_for(along) | {("next", "reward"): torch.zeros(2, 5, 1)}
    others = {"observation": torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(2))}
    value_at = network.out_keys.index("state_value")
    apart = along.run_apart(held, others)[value_at]
    carried = {key: held[key][:, 0] for key in network.contract.carries}
    for t in range(5):
        seen = {**carried, "observation": held["observation"][:, t], "is_init": held["is_init"][:, t]}
        what_if = {**seen, "observation": others["observation"][:, t]}
        torch.testing.assert_close(apart[:, t], network.run(*[what_if[key] for key in along.reads])[value_at])
        step = dict(zip(network.out_keys, network.run(*[seen[key] for key in along.reads]), strict=True))
        carried = {key: step["next", key] for key in carried}


def test_what_if_without_memory_puts_something_in_its_place():
    along = Along(TensorDictModule(lambda x, y: x + y, ["x", "y"], ["z"]))
    assert along.run_apart({"x": torch.ones(2), "y": torch.ones(2)}, {"y": torch.full((2,), 5.0)})[0].tolist() == [
        6.0,
        6.0,
    ]
