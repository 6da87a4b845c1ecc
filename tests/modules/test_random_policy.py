import pytest
import torch
from tensordict import TensorDict

from keywork._errors import SpecError
from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.modules import RandomPolicy
from keywork.nn import TensorDictModule, TensorDictSequential, set_exploration_type
from keywork.specs import Bounded, Categorical, Composite, OneHot


@pytest.mark.parametrize("batch", [(), (5,), (5, 3)])
@pytest.mark.parametrize("spec", [Categorical(4), OneHot(4), Bounded(-1.0, 1.0, (2,))])
def test_writes_an_action_for_each_element_of_the_batch(batch, spec):
    td = RandomPolicy(spec)(TensorDict(batch_size=batch))
    assert td["action"].shape == (*batch, *spec.shape)
    assert spec.is_in(td["action"])


def test_is_uniform(chi_square):
    td = RandomPolicy(Categorical(4))(TensorDict(batch_size=[20_000]))
    assert chi_square(td["action"], [0.25] * 4) < 1


def test_is_random_whatever_the_exploration_type():
    with set_exploration_type("deterministic"):
        assert len(RandomPolicy(Categorical(4))(TensorDict(batch_size=[100]))["action"].unique()) == 4


def test_other_keys_and_a_composite():
    spec = Composite({("a", "move"): Categorical(3), "other": Categorical(50)})
    policy = RandomPolicy(spec, ("a", "move"))
    assert (policy.in_keys, policy.out_keys, policy.spec) == ([], [("a", "move")], Categorical(3))
    assert Categorical(3).is_in(policy(TensorDict(batch_size=[50]))["a", "move"])


def test_may_be_a_step_of_a_sequential():
    double = TensorDictModule(lambda a: 2 * a, ["action"], ["twice"])
    td = TensorDictSequential(RandomPolicy(Categorical(4)), double)(TensorDict(batch_size=[6]))
    assert torch.equal(td["twice"], 2 * td["action"])


def test_collects():
    with GymEnv("CartPole-v1", num_envs=4, seed=0) as env:
        batch = Collector(env, RandomPolicy(env.action_spec), frames_per_batch=80).collect()
    assert set(batch["action"].flatten().tolist()) == {0, 1}


def test_cannot_act_without_a_spec():
    policy = RandomPolicy()
    with pytest.raises(SpecError) as error:
        policy(TensorDict(batch_size=[3]))
    assert str(error.value) == (
        "RandomPolicy cannot act: nobody has said what an action is.\n"
        "  where: spec\n"
        "  expected: a spec or a Gymnasium space\n"
        "  got: None\n"
        "  fix: RandomPolicy(env.action_spec)"
    )
    policy.spec = Categorical(1)
    assert policy(TensorDict(batch_size=[3]))["action"].tolist() == [0] * 3


def test_tensors_do_not_say_how_many_actions_there_are():
    with pytest.raises(TypeError, match="RandomPolicy takes a TensorDict, whose batch size says how many"):
        RandomPolicy(Categorical(4))(torch.zeros(3))
