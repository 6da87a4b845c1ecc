"""Every native environment beside Gymnasium's own: from the same states, by the same actions."""

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from keywork._errors import EnvError, MissingKeyError, UsageError
from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.envs.native import Acrobot, CartPole, MountainCar, MountainCarContinuous, NativeEnv, Pendulum
from keywork.modules import ProbabilisticActor
from keywork.nn import TensorDictModule
from keywork.train import PPO, PPOConfig, evaluate

PI = np.pi
WIDE = {  # states from here are everywhere that an episode may come to, and beyond its end
    CartPole: [2.5, 3.0, 0.25, 3.0],
    Pendulum: [10.0, 8.0],
    Acrobot: [PI, PI, 4 * PI, 9 * PI],
    MountainCar: [1.2, 0.07],
    MountainCarContinuous: [1.2, 0.07],
}
ALL = pytest.mark.parametrize("cls", WIDE, ids=lambda cls: cls.__name__)
FLAGS = ("terminated", "truncated", "done")


def theirs(cls, **kwargs):
    return gymnasium.make(cls.name, disable_env_checker=True, **kwargs)


def put(env, state):
    """Put Gymnasium's environment into a state (the continuous car is float32 there)."""
    inner = env.unwrapped
    inner.state = np.asarray(
        state, np.float32 if isinstance(env.spec.id, str) and "Cont" in env.spec.id else np.float64
    )
    inner.steps_beyond_terminated = None


def random_states(cls, count, dtype):
    wide = torch.tensor(WIDE[cls], dtype=dtype)
    states = (2 * torch.rand(count, len(wide), dtype=dtype) - 1) * wide
    if "Mountain" in cls.name:
        states[:, 0] = states[:, 0].clamp(max=0.6)
        states = states.to(torch.float32).to(dtype)
    return states


@ALL
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_one_step_from_anywhere_is_gymnasiums(cls, dtype):
    count = 400
    states = random_states(cls, count, dtype)
    env = cls(count, seed=1, dtype=dtype)
    actions = env.random_action()
    number = actions.squeeze(-1) if actions.ndim > 1 else actions
    moved = cls.dynamics(states.T.contiguous(), number)
    seen = cls.observe(moved.state)
    gym = theirs(cls)
    gym.reset()
    exact = 1e-6 if dtype is torch.float64 else 1e-4  # float32 on numbers up to 9 pi, through four derivatives
    ends = 0
    for row in range(count):
        put(gym, states[row].numpy())
        action = actions[row].numpy()
        observation, reward, terminated, _, _ = gym.unwrapped.step(action if action.ndim else int(action))
        np.testing.assert_allclose(seen[row].numpy(), observation, rtol=exact, atol=exact)
        if dtype is torch.float64:
            np.testing.assert_allclose(
                moved.state[:, row].numpy(), np.asarray(gym.unwrapped.state, np.float64), rtol=1e-9, atol=1e-7
            )
            if cls is MountainCarContinuous:  # rounded as theirs is, in every step
                assert moved.state[:, row].tolist() == gym.unwrapped.state.tolist()
        np.testing.assert_allclose(moved.reward[row].item(), reward, rtol=exact, atol=exact)
        assert moved.terminated[row].item() is bool(terminated)
        ends += terminated
    assert cls is Pendulum or 0 < ends < count  # both kinds of step were seen


@ALL
def test_a_rollout_is_gymnasiums_with_every_end(cls):
    """To the first time limit and beyond. Where an episode begins, Gymnasium's is put where ours has begun."""
    num_envs = 3
    env = cls(num_envs, seed=2)
    gyms = [theirs(cls) for _ in range(num_envs)]
    shown = env.begin()["observation"]

    def start(row):
        gyms[row].reset()
        put(gyms[row], env.state[row].numpy())

    for row in range(num_envs):
        start(row)
    ended = dict.fromkeys(FLAGS, 0)
    returns, lengths = np.zeros(num_envs), np.zeros(num_envs, int)
    for _ in range(max(500, env.time_limit + 1)):
        actions = env.random_action()
        reached = env.advance(actions)
        stats = {episode.env: episode for episode in reached.episodes}
        for row, gym in enumerate(gyms):
            action = actions[row].numpy()
            observation, reward, terminated, truncated, _ = gym.step(action if action.ndim else int(action))
            np.testing.assert_allclose(reached.next_observation["observation"][row].numpy(), observation, atol=1e-5)
            np.testing.assert_allclose(reached.reward[row].item(), reward, rtol=1e-5, atol=1e-6)
            flags = {"terminated": bool(terminated), "truncated": truncated, "done": terminated or truncated}
            assert {flag: getattr(reached, flag)[row].item() for flag in FLAGS} == flags
            returns[row] += reward
            lengths[row] += 1
            assert (row in stats) is flags["done"]
            shown = reached.observation["observation"][row]
            if flags["done"]:
                assert stats[row].length == lengths[row]
                assert stats[row].return_ == pytest.approx(returns[row], rel=1e-5)
                returns[row] = lengths[row] = 0
                start(row)
                np.testing.assert_array_equal(shown.numpy(), cls.observe(env.state[row]).numpy())  # a new beginning
                assert not torch.equal(shown, reached.next_observation["observation"][row])
            else:
                assert torch.equal(shown, reached.next_observation["observation"][row])
            for flag in FLAGS:
                ended[flag] += flags[flag]
    assert ended["done"] > 0
    if cls in (Pendulum, MountainCar, MountainCarContinuous):
        assert ended["truncated"] > 0
    if cls is CartPole:
        assert ended["terminated"] > 0


def test_a_balanced_pole_is_cut_off_where_gymnasiums_is():
    """The pole falls away from any two computations of one path, so the state is set again every 50 steps."""
    env, gym = CartPole(1, seed=0), theirs(CartPole)
    observation = env.begin()["observation"]
    gym.reset()
    for step in range(1, 501):
        if step % 50 == 1:
            put(gym, env.state[0].numpy())
        action = (observation @ torch.tensor([0.1, 0.3, 1.0, 0.5]) > 0).long()
        reached = env.advance(action)
        observation = reached.observation["observation"]
        seen, _, terminated, truncated, _ = gym.step(int(action))
        np.testing.assert_allclose(reached.next_observation["observation"][0].numpy(), seen, atol=1e-5)
        assert (reached.terminated.item(), reached.truncated.item()) == (terminated, truncated) == (False, step == 500)
    assert [*reached.episodes] == [(0, 500.0, 500)]
    assert observation.abs().max() <= 0.05


@ALL
def test_specs_and_limits_are_those_of_the_gymnasium_environment(cls):
    env = cls(3)
    with GymEnv(cls.name, 3) as gym:
        assert dict(env.specs.items()) == dict(gym.specs.items())
        assert (env.observation_spec, env.action_spec) == (gym.observation_spec, gym.action_spec)
        assert (env.reward_spec, env.batch_size, env.name) == (gym.reward_spec, gym.batch_size, gym.name)
    assert env.time_limit == gymnasium.spec(cls.name).max_episode_steps
    root = env.reset(seed=0)
    assert root.keys() == {"observation", "done", "terminated", "truncated", "is_init"}
    assert env.observation_spec["observation"].is_in(root["observation"])
    step = env.step(root.set("action", env.random_action()))
    for key, spec in env.specs.items():
        assert step[key].shape == (3, *spec.shape)
        assert step[key].dtype is spec.dtype


@ALL
def test_episodes_begin_where_gymnasiums_do(cls):
    """The least and the greatest of 2,000 first observations are within 1 % of the range of the others'."""
    ours = cls(2000, seed=0).begin()["observation"].numpy()
    gym = theirs(cls)
    them = np.stack([gym.reset(seed=seed if seed == 0 else None)[0] for seed in range(2000)])
    span = np.ptp(them, axis=0) + 1e-9
    assert (np.abs(ours.min(0) - them.min(0)) < 0.01 * span).all()
    assert (np.abs(ours.max(0) - them.max(0)) < 0.01 * span).all()
    assert (np.abs(ours.mean(0) - them.mean(0)) < 0.05 * span).all()


@ALL
@pytest.mark.parametrize("can_look", [True, False])
def test_one_seed_is_one_course_of_events(cls, can_look):
    """Also in the way of an accelerator, where every environment draws, because none is looked at."""

    def course(env, seed=None):
        env._can_look = can_look
        return env.rollout(60, seed=seed)

    first = course(cls(5, seed=3, time_limit=20))
    again = cls(5, seed=4, time_limit=20)
    assert not torch.equal(course(again)["observation"], first["observation"])
    same = course(again, seed=3)
    assert all(torch.equal(same[key], first[key]) for key in first.keys(True, True))
    assert not torch.equal(course(again)["observation"], first["observation"])  # the streams go on
    ended = first["next", "done"][:, :-1, 0]
    assert (ended.sum(1) >= 2).all()
    assert torch.equal(first["is_init"][:, 1:, 0], ended)
    starts = first["observation"][:, 1:][ended]
    assert len(starts.unique(dim=0)) == len(starts)  # every episode begins elsewhere
    fresh = cls.start(torch.tensor([[0.0, 1.0]]).expand(cls.draws, 2))
    ends = cls.observe(fresh)
    if cls in (CartPole, MountainCar, MountainCarContinuous):
        assert ((starts >= ends.amin(0) - 1e-6) & (starts <= ends.amax(0) + 1e-6)).all()
        # What is shown is where the environment is: from there the action leads to what is next.
        state, action = first["observation"].double().movedim(-1, 0), first["action"]
        leads_to = cls.dynamics(state, action.squeeze(-1) if cls.acted.shape else action).state
        torch.testing.assert_close(cls.observe(leads_to), first["next", "observation"], atol=1e-5, rtol=1e-5)


def test_a_step_leaves_the_tensors_of_earlier_steps_alone():
    env = CartPole(1, seed=0)
    root = env.reset()
    kept = [root.clone()]
    steps = [root]
    for _ in range(30):
        step, root = env.step_and_maybe_reset(root.set("action", env.random_action()))
        kept.append(step.clone())
        steps.append(step)
        root["observation"].mul_(7.0)  # nor does writing into what is handed out move the environment
        assert torch.equal(step["next", "observation"], kept[-1]["next", "observation"])
        root["observation"].div_(7.0)
    for step, copy in zip(steps[1:], kept[1:], strict=True):
        assert torch.equal(step["next", "observation"], copy["next", "observation"])


def test_the_observation_is_memory_of_its_own():
    env = CartPole(1, seed=0, dtype=torch.float32)
    env.begin()["observation"].fill_(9.0)
    assert env.state.abs().max() <= 0.05
    reached = env.advance(torch.tensor([0]))
    reached.observation["observation"].fill_(9.0)
    assert env.state.abs().max() < 1.0


def test_the_state_can_be_set_within_an_episode():
    env = Pendulum(2, seed=0, time_limit=3)
    env.begin()
    env.advance(env.random_action())
    env.state = torch.tensor([[0.5, 1.0], [0.0, 0.0]])
    assert env.state.tolist() == [[0.5, 1.0], [0.0, 0.0]]
    reached = env.advance(torch.zeros(2, 1))
    # From upright and at rest, without torque: nothing moves and nothing is lost.
    assert reached.next_observation["observation"][1].tolist() == [1.0, 0.0, 0.0]
    assert reached.reward[1].item() == 0.0
    # -(0.5² + 0.1 * 1.0²) = -0.35
    assert reached.reward[0].item() == pytest.approx(-0.35)
    assert env.advance(torch.zeros(2, 1)).truncated.tolist() == [[True], [True]]
    single, given = Pendulum(1, seed=0), torch.tensor([[0.5, 1.0]], dtype=torch.float64)
    single.begin()
    single.state = given
    given.fill_(7.0)
    assert single.state.tolist() == [[0.5, 1.0]]
    with pytest.raises(UsageError, match=r"'Pendulum-v1' cannot be put into a state of the shape \[2\]: .* \[2, 2\]"):
        env.state = torch.zeros(2)


def actor():
    net = TensorDictModule(nn.Linear(4, 2), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)


def test_a_collector_makes_batches_of_it():
    env = CartPole(6, seed=0)
    collector = Collector(env, actor(), frames_per_batch=6 * 40)
    batch = collector.collect()
    assert batch.batch_size == (6, 40)
    done = batch["next", "done"][:, :-1]
    assert done.any()
    assert torch.equal(batch["is_init"][:, 1:], done)
    follows = batch["observation"][:, 1:] == batch["next", "observation"][:, :-1]
    assert torch.equal(follows.all(-1, keepdim=True), ~done)
    # A step's next observation is what its action leads to, at an episode's end as well.
    state = batch["observation"].double().movedim(-1, 0)
    assert torch.allclose(
        CartPole.observe(CartPole.dynamics(state, batch["action"]).state), batch["next", "observation"]
    )
    episodes = collector.take_episodes()
    assert len(episodes) == batch["next", "done"].sum()
    assert sum(episode.length for episode in episodes) <= 240
    for key, spec in env.specs.items():
        assert batch[key].shape == (6, 40, *spec.shape)
    assert Collector(env, None, frames_per_batch=6).collect()["action"].shape == (6, 1)


def test_ppo_trains_and_evaluates_in_it():
    env = CartPole(32, seed=0)
    ppo = PPO(env, PPOConfig(num_steps=32, num_epochs=6, anneal=False))
    lengths = []
    for _ in range(8):
        metrics = ppo.update(ppo.collector.collect(), progress=0.0)
        lengths.append(np.mean([episode.length for episode in ppo.collector.take_episodes()]))
    assert all(np.isfinite(value) for value in metrics.values())
    assert lengths[-1] > 1.5 * lengths[0]
    assert min(evaluate(ppo.policy, CartPole(4, seed=1), episodes=4, seed=0).returns) > 30
    assert PPO(Pendulum(2, seed=0, clip_actions=True)).collector.collect().batch_size == (2, 32)


def test_what_cannot_be_is_refused():
    for kwargs, text in (
        ({"num_envs": 0}, "CartPole-v1 cannot be made with num_envs=0: give at least 1."),
        ({"time_limit": 0}, "CartPole-v1 cannot be made with time_limit=0: give at least 1."),
        ({"dtype": torch.int64}, r"CartPole-v1 cannot compute in torch.int64. Type dtype=torch.float64 or"),
    ):
        with pytest.raises(UsageError, match=text):
            CartPole(**kwargs)
    env = CartPole(2)
    with pytest.raises(EnvError, match=r"'CartPole-v1' cannot be stepped: it has not begun: call begin\(\) or reset"):
        env.advance(torch.zeros(2))
    with pytest.raises(EnvError, match="cannot be asked for its state: it has not begun"):
        _ = env.state
    with pytest.raises(
        MissingKeyError, match=r"does not hold 'action'.\n.*'observation'.*\n.*env.step\(policy\(td\)\)"
    ):
        env.step(env.reset())
    with env:
        pass
    for act in (lambda: env.advance(torch.zeros(2)), env.begin):
        with pytest.raises(EnvError, match=r"it was closed\. Make a new CartPole."):
            act()
    with pytest.raises(TypeError, match="abstract"):
        NativeEnv()
    assert repr(CartPole(2)) == "CartPole(num_envs=2, device='cpu')"
