import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.envs import VALID, GymEnv
from keywork.modules import ProbabilisticActor
from keywork.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential


class Diary(gymnasium.Env):
    """Shows (episode, step); an episode has three steps and then terminates, or five with ``long``, cut off."""

    def __init__(self, cut: bool = False) -> None:
        self.observation_space = spaces.Box(0.0, 1e6, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.cut, self.episode, self.at = cut, -1, 0

    def _shown(self):
        return np.array([self.episode, self.at], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.at = self.episode + 1, 0
        return self._shown(), {}

    def step(self, action):
        self.at += 1
        over = self.at == 3
        return self._shown(), float(action), over and not self.cut, over and self.cut, {}


def policy(features: int = 2) -> ProbabilisticActor:
    net = TensorDictModule(nn.Linear(features, 2), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)


class Opaque(TensorDictModuleBase):
    in_keys = ["observation"]
    out_keys = ["action"]

    def forward(self, tensordict):
        return tensordict.set("action", torch.ones(tensordict.batch_size, dtype=torch.int64))


def test_a_batch_has_the_layout_that_everybody_expects():
    with GymEnv(Diary, num_envs=2) as env:
        batch = Collector(env, policy(), frames_per_batch=8).collect()
    assert batch.batch_size == torch.Size([2, 4])
    shapes = {key: tuple(batch[key].shape[2:]) for key in batch.keys(include_nested=True, leaves_only=True)}
    flag = (1,)
    assert shapes == {
        "observation": (2,),
        "is_init": flag,
        "done": flag,
        "terminated": flag,
        "truncated": flag,
        "logits": (2,),
        "action": (),
        "sample_log_prob": (),
        ("next", "observation"): (2,),
        ("next", "reward"): flag,
        ("next", "done"): flag,
        ("next", "terminated"): flag,
        ("next", "truncated"): flag,
    }
    assert batch["next", "done"].dtype is torch.bool


@pytest.mark.parametrize("cut", [False, True])
def test_episodes_go_on_over_batches_and_end_with_their_true_final_observation(cut):
    with GymEnv(lambda: Diary(cut), num_envs=1) as env:
        collector = Collector(env, policy(), frames_per_batch=4)
        first, second = collector.collect()[0], collector.collect()[0]
    # Two episodes of three steps, and two steps of a third, in batches of four.
    shown = torch.cat([first["observation"], second["observation"]]).tolist()
    reached = torch.cat([first["next", "observation"], second["next", "observation"]]).tolist()
    assert shown == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1]]
    assert reached == [[0, 1], [0, 2], [0, 3], [1, 1], [1, 2], [1, 3], [2, 1], [2, 2]]
    begins = torch.cat([first["is_init"], second["is_init"]]).flatten().tolist()
    assert begins == [True, False, False, True, False, False, True, False]
    key = "truncated" if cut else "terminated"
    ends = torch.cat([first["next", key], second["next", key]]).flatten().tolist()
    assert ends == [False, False, True, False, False, True, False, False]
    assert not first["done"].any()


def test_rewards_belong_to_the_actions_beside_them():
    with GymEnv(Diary, num_envs=3) as env:
        batch = Collector(env, policy(), frames_per_batch=30).collect()
    assert torch.equal(batch["next", "reward"].squeeze(-1), batch["action"].float())
    assert 0 < batch["action"].sum() < 30  # it explores


def test_what_the_policy_writes_is_what_it_computed_on_what_is_stored():
    actor = policy()
    with GymEnv(Diary, num_envs=2) as env:
        batch = Collector(env, actor, frames_per_batch=12).collect()
    torch.testing.assert_close(batch["logits"], actor[0].module(batch["observation"]))
    torch.testing.assert_close(actor.log_prob(batch), batch["sample_log_prob"])
    assert not batch["logits"].requires_grad


def test_batches_do_not_share_memory():
    with GymEnv(Diary, num_envs=2) as env:
        collector = Collector(env, policy(), frames_per_batch=6)
        first = collector.collect()
        kept = first.clone()
        collector.collect()
        assert (first == kept).all()
        first["observation"].fill_(-1.0)
        assert (collector.collect()["observation"] >= 0).all()


def test_iteration_ends_with_the_batch_that_reaches_the_total():
    with GymEnv(Diary, num_envs=2) as env:
        collector = Collector(env, policy(), frames_per_batch=6, total_frames=13)
        assert [batch.numel() for batch in collector] == [6, 6, 6]
        assert collector.frames == 18


def test_episodes_are_reported_once():
    with GymEnv(Diary, num_envs=2) as env:
        collector = Collector(env, None, frames_per_batch=12)
        batch = collector.collect()
        episodes = collector.take_episodes()
        assert [(episode.env, episode.length) for episode in episodes] == [(0, 3), (1, 3), (0, 3), (1, 3)]
        assert sum(episode.return_ for episode in episodes) == batch["next", "reward"].sum().item()
        assert collector.take_episodes() == []


def test_the_same_seed_gives_the_same_batches_and_another_does_not():
    def collect(seed: int) -> torch.Tensor:
        torch.manual_seed(0)
        with GymEnv("CartPole-v1", num_envs=2) as env:
            return Collector(env, policy(4), frames_per_batch=20, seed=seed).collect()["observation"]

    assert torch.equal(collect(3), collect(3))
    assert not torch.equal(collect(3), collect(4))


def test_an_exploration_type_is_set_while_the_policy_acts():
    actor = policy()
    with GymEnv(Diary, num_envs=2) as env:
        batch = Collector(env, actor, frames_per_batch=12, exploration_type="mode").collect()
    assert torch.equal(batch["action"], batch["logits"].argmax(-1))


def test_random_actions_without_a_policy_and_an_opaque_policy():
    with GymEnv(Diary, num_envs=2) as env:
        assert Collector(env, None, frames_per_batch=4).collect()["action"].shape == (2, 2)
        assert (Collector(env, Opaque(), frames_per_batch=4).collect()["action"] == 1).all()


def test_a_policy_that_does_not_fit_is_refused_before_anything_runs():
    net = TensorDictModule(nn.Linear(4, 2), ["observations"], ["logits"])
    actor = ProbabilisticActor(net, ["logits"], "act", distribution_class=Categorical)
    with GymEnv("CartPole-v1") as env, pytest.raises(ValueError) as error:
        Collector(env, actor, frames_per_batch=4)
    assert str(error.value) == (
        "Collector cannot be built: 2 findings.\n"
        "1. the policy (ProbabilisticActor) reads 'observations', which the environment 'CartPole-v1' does not show.\n"
        "   provided: CartPole-v1 shows 'observation', 'done', 'terminated', 'truncated', 'is_init'\n"
        "   did you mean 'observation'? Read one of these: in_keys=[...].\n"
        "2. the environment 'CartPole-v1' takes 'action', which the policy does not write.\n"
        "   provided: the policy writes 'logits', 'act'\n"
        "   did you mean 'act'? End the policy with out_keys=['action']."
    )


@pytest.mark.parametrize(("frames", "right"), [(7, 6), (0, 3), (-3, 3), (100, 99)])
def test_a_number_of_frames_that_does_not_divide_is_refused_with_one_that_does(frames, right):
    with GymEnv(Diary, num_envs=3) as env, pytest.raises(ValueError, match=rf"Type frames_per_batch={right}\."):
        Collector(env, policy(), frames_per_batch=frames)


def test_steps_in_which_a_vector_environment_resets_itself_are_marked():
    modes = {"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}
    vector = gymnasium.make_vec("CartPole-v1", 4, vectorization_mode="sync", vector_kwargs=modes)
    with GymEnv(vector, seed=0) as env:
        collector = Collector(env, policy(4), frames_per_batch=400)
        batch = collector.collect()
        episodes = collector.take_episodes()
    valid, done = batch[VALID].squeeze(-1), batch["next", "done"].squeeze(-1)
    ended = done & valid
    assert len(episodes) == ended.sum() > 0
    assert torch.equal(~valid[:, 1:], ended[:, :-1])
    assert valid[:, 0].all()


def test_no_frames_at_all_is_refused():
    with GymEnv(Diary) as env, pytest.raises(ValueError, match="total_frames=0 is no number of frames"):
        Collector(env, policy(), frames_per_batch=4, total_frames=0)


def test_an_option_that_there_is_not_is_refused():
    with GymEnv(Diary) as env, pytest.raises(TypeError) as error:
        Collector(env, policy(), frames_per_batch=4, init_random_frame=4)
    assert str(error.value) == (
        "Collector.__init__() got an unexpected keyword argument 'init_random_frame'; did you mean "
        "'init_random_frames'?"
    )


def test_an_environment_that_was_used_in_between_begins_anew(caplog):
    torch.manual_seed(0)
    policy = TensorDictModule(nn.Linear(4, 3), ["observation"], ["scores"])
    actor = TensorDictSequential(policy, TensorDictModule(lambda x: x[..., :2].argmax(-1), ["scores"], ["action"]))
    with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
        collector = Collector(env, actor, frames_per_batch=6)
        collector.collect()
        shown = env.begin()["observation"].copy()  # what an evaluation does, with steps after it
        env.advance(torch.tensor([0, 1]))
        with caplog.at_level("WARNING", "keywork"):
            batch = collector.collect()
    assert "has been reset by somebody else" in caplog.text
    assert batch["is_init"][:, 0].all()
    # Episodes of their own: each step goes on from where the last one led, and not from the one that is past.
    torch.testing.assert_close(batch["observation"][:, 1:], batch["next", "observation"][:, :-1])
    assert not (batch["observation"][:, 0] == torch.from_numpy(shown)).all()
