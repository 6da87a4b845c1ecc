import pytest
from tensordict import TensorDict

from keywork._errors import SpecError
from keywork.modules import AdditiveGaussianModule, EGreedyModule, RandomPolicy, fill_action_specs
from keywork.nn import TensorDictSequential
from keywork.specs import Bounded, Categorical


def test_every_module_that_waits_gets_the_spec_of_its_key():
    left, right = EGreedyModule(action_key="left"), AdditiveGaussianModule(action_key=("b", "right"))
    specs = {"left": Categorical(3), ("b", "right"): Bounded(-1.0, 1.0, (2,))}
    fill_action_specs(TensorDictSequential(left, TensorDictSequential(right)), specs)
    assert (left.spec, right.spec) == tuple(specs.values())


def test_a_spec_that_is_there_is_kept():
    module = EGreedyModule(Categorical(3))
    fill_action_specs(module, {"action": Categorical(7)})
    assert module.spec == Categorical(3)


def test_another_key_is_left_alone():
    module = EGreedyModule(action_key="move")
    fill_action_specs(module, {"action": Categorical(7)})
    assert module.spec is None


def test_a_spec_that_cannot_be_explored_is_refused():
    with pytest.raises(SpecError, match="EGreedyModule cannot choose among these actions"):
        fill_action_specs(EGreedyModule(), {"action": Bounded(-1.0, 1.0, (2,))})


def test_a_random_policy_waits_too():
    policy = RandomPolicy()
    fill_action_specs(policy, {"action": Categorical(1)})
    assert policy(TensorDict(batch_size=[3]))["action"].tolist() == [0, 0, 0]
