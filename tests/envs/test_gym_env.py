"""GymEnv on real environments: the layout of its data, its seeds, its statistics, its end."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tensordict import TensorDict

from keywork._errors import EnvError, MissingKeyError
from keywork.envs import GymEnv
from keywork.specs import Bounded, Categorical, MultiBinary, OneHot, Unbounded

STEP = {
    "observation",
    "action",
    "done",
    "terminated",
    "truncated",
    "is_init",
    ("next", "observation"),
    ("next", "reward"),
    ("next", "done"),
    ("next", "terminated"),
    ("next", "truncated"),
}


def test_the_layout_of_a_step():
    with GymEnv("CartPole-v1", 3, seed=0) as env:
        root = env.reset()
        assert root.batch_size == env.batch_size == (3,)
        assert set(root.keys(True, True)) == {"observation", "done", "terminated", "truncated", "is_init"}
        assert root["is_init"].all()
        td = env.step(root.set("action", torch.tensor([0, 1, 0])))
        assert td is root
        assert set(td.keys(True, True)) == STEP
        for key in STEP:
            spec = env.specs[key]
            assert td[key].shape == (3, *spec.shape), key
            assert td[key].dtype == spec.dtype, key
        assert td["next", "reward"].tolist() == [[1.0]] * 3
        assert env.specs.is_in(td)


def test_a_step_of_pendulum_is_gymnasiums():
    reference = gymnasium.make("Pendulum-v1")
    with GymEnv("Pendulum-v1", 2, seed=3) as env:
        batch = env.rollout(5)
        own = int(np.random.SeedSequence(3, spawn_key=(0, 1)).generate_state(1)[0]) >> 1
        observation, _ = reference.reset(seed=own)
        for step in batch[1]:
            assert step["observation"].numpy().tolist() == observation.tolist()
            observation, reward, *_ = reference.step(step["action"].numpy())
            assert step["next", "reward"].item() == np.float32(reward)
            assert step["next", "observation"].numpy().tolist() == observation.tolist()
    reference.close()


def test_specs_of_cartpole_and_pendulum():
    with GymEnv("CartPole-v1") as env:
        assert env.action_spec == Categorical(2)
        assert env.reward_spec == Unbounded((1,))
        assert env.observation_spec["observation"].shape == (4,)
        assert set(env.specs.keys()) == STEP
        assert env.specs["is_init"] == env.specs["next", "done"] == MultiBinary(1, dtype=torch.bool)
        assert env.action_key == "action"
    with GymEnv("Pendulum-v1") as env:
        assert env.action_spec == Bounded(-2.0, 2.0, (1,))


@pytest.mark.parametrize(("name", "n"), [("FrozenLake-v1", 16), ("CliffWalking-v1", 48)])
def test_discrete_observations(name, n):
    with GymEnv(name, 2, seed=0) as env:
        batch = env.rollout(20)
        assert env.observation_spec["observation"] == Categorical(n)
    assert batch["observation"].shape == (2, 20)
    assert batch["observation"].dtype == torch.int64
    assert env.observation_spec.is_in(batch)


def test_tuple_observations_have_numbers_as_keys():
    with GymEnv("Blackjack-v1", 2, seed=0) as env:
        batch = env.rollout(6)
    assert [spec.n for spec in (env.observation_spec[key] for key in ("0", "1", "2"))] == [32, 11, 2]
    for key in ("0", "1", "2"):
        assert batch[key].shape == batch["next", key].shape == (2, 6)
    assert batch["next", "terminated"].any()


def test_float64_observations_become_float32(nested):
    with GymEnv(nested) as env:
        assert env.observation_spec["body", "joints"].dtype == torch.float32
        assert env.reset()["body", "joints"].dtype == torch.float32
        assert env.reset()["camera"].dtype == torch.uint8


def test_the_root_of_the_next_step_is_the_first_observation_of_the_next_episode(counting):
    with GymEnv(counting, 2) as env:
        td, following = env.step_and_maybe_reset(env.reset().set("action", torch.tensor([1, 0])))
    assert td["next", "observation"].tolist() == [[0, 1], [0, 1]]
    assert following["observation"].tolist() == [[1, 0], [0, 1]]
    assert following["is_init"].tolist() == [[True], [False]]
    assert not following["done"].any()
    following["observation"].zero_()
    assert td["next", "observation"].tolist() == [[0, 1], [0, 1]]  # no memory is shared


def test_what_a_policy_wrote_under_next_stays(counting):
    with GymEnv(counting, 1) as env:
        td = env.reset().set("action", torch.tensor([0])).set(("next", "hidden"), torch.ones(1, 3))
        assert env.step(td)["next", "hidden"].tolist() == [[1, 1, 1]]


def test_begin_and_advance_are_reset_and_step():
    with GymEnv("CartPole-v1", 4, seed=1) as env:
        batch = env.rollout(30, seed=8)
        observation = env.begin(seed=8)
        for step in batch.unbind(1):
            assert np.array_equal(observation["observation"], step["observation"])
            transition = env.advance(step["action"].numpy())
            assert np.array_equal(transition.next_observation["observation"], step["next", "observation"])
            for name in ("reward", "done", "terminated", "truncated"):
                assert np.array_equal(getattr(transition, name), step["next", name]), name
            assert transition.valid is None
            observation = transition.observation


def test_transitions_may_be_kept(counting):
    with GymEnv(counting, 2) as env:
        kept = [env.begin()["observation"]]
        transitions = [env.advance(np.zeros(2, np.int64)) for _ in range(6)]
    kept += [t.next_observation["observation"] for t in transitions]
    assert [array[0].tolist() for array in kept] == [[0, 0], [0, 1], [0, 2], [0, 3], [0, 4], [1, 1], [1, 2]]
    assert [t.reward[0].tolist() for t in transitions] == [[1], [2], [3], [4], [11], [12]]


@pytest.mark.parametrize("workers", ["sync", "process", "vector"])
def test_no_later_step_writes_into_what_was_given_whoever_runs_the_environments(workers):
    with GymEnv("CartPole-v1", 2, seed=0, workers=workers) as env:
        given = [env.begin()]
        copies = [{key: array.copy() for key, array in given[0].items()}]
        for _ in range(30):
            reached = env.advance(np.array([0, 1]))
            parts = [reached.observation, reached.next_observation, reached.reached]
            given += parts
            copies += [{key: array.copy() for key, array in part.items()} for part in parts]
    assert any(reached["next", "done"].any() for reached in copies[3::3])
    for part, copy in zip(given, copies, strict=True):
        assert all(np.array_equal(part[key], copy[key]) for key in copy)


class TestSeeds:
    def rollout(self, num_envs, seed, **settings):
        with GymEnv("CartPole-v1", num_envs, seed=seed, **settings) as env:
            return env.rollout(50)

    def test_the_same_seed_is_the_same_run(self):
        assert (self.rollout(3, 7) == self.rollout(3, 7)).all()

    def test_another_seed_is_another(self):
        assert (self.rollout(3, 7)["observation"][:, 0] != self.rollout(3, 8)["observation"][:, 0]).all()

    def test_environments_differ_from_each_other(self):
        first = self.rollout(5, 7)["observation"][:, 0, 0]
        assert len(set(first.tolist())) == 5

    @pytest.mark.parametrize("num_envs", [1, 2, 5])
    def test_an_environment_does_not_depend_on_how_many_there_are(self, num_envs):
        assert (self.rollout(num_envs, 7)[0] == self.rollout(4, 7)[0]).all()

    def test_a_later_reset_goes_on_and_a_seed_begins_anew(self):
        with GymEnv("CartPole-v1", 2, seed=7) as env:
            first, second, again = env.reset(), env.reset(), env.reset(seed=7)
        assert (first["observation"] != second["observation"]).all()
        assert torch.equal(first["observation"], again["observation"])

    def test_a_seed_that_was_drawn_repeats_the_run(self):
        with GymEnv("CartPole-v1", 2) as env:
            batch = env.rollout(20)
            assert (batch == env.rollout(20, seed=env.seed)).all()

    def test_torch_and_numpy_generators_are_left_alone(self):
        torch.manual_seed(0)
        np.random.seed(0)
        with GymEnv("Pendulum-v1", 2, seed=7) as env:
            env.rollout(5)
        after = torch.rand(1).item(), np.random.rand()
        torch.manual_seed(0)
        np.random.seed(0)
        assert after == (torch.rand(1).item(), np.random.rand())


def test_episodes_are_counted(counting):
    actions = np.array([[0, 1], [1, 0], [0, 0], [0, 0], [0, 0], [0, 1]])
    with GymEnv(counting, 2) as env:
        env.begin()
        found = [[tuple(stats) for stats in env.advance(row).episodes] for row in actions]
    # Env 0: cut at its 2nd step (1 + 2), then four steps of episode 1 (4 * 10 + 10).
    # Env 1: cut at its first (1), then four of episode 1 (50), then cut at the first of episode 2 (21).
    assert found == [[(1, 1.0, 1)], [(0, 3.0, 2)], [], [], [(1, 50.0, 4)], [(0, 50.0, 4), (1, 21.0, 1)]]


def test_a_reset_in_the_middle_drops_the_running_episode(counting):
    with GymEnv(counting, 1) as env:
        env.begin()
        env.advance(np.array([0]))
        env.begin()
        assert env.advance(np.array([1])).episodes == [(0, 11.0, 1)]  # episode 1 by now: 10 + 1


def test_new_seeds_in_the_middle_begin_the_books_anew(counting):
    with GymEnv(counting, 2) as env:
        env.begin()
        for _ in range(3):
            env.advance(np.array([0, 0]))
        env.begin(seed=5)  # the second episode of both
        env.advance(np.array([0, 0]))
        # 11 + 12 in two steps; the other one goes on to its fourth step: 11 + 12 + 13 + 14.
        assert env.advance(np.array([1, 0])).episodes == [(0, 23.0, 2)]
        env.advance(np.array([0, 0]))
        assert env.advance(np.array([0, 0])).episodes == [(1, 50.0, 4)]


def test_one_hot_actions():
    with GymEnv("CartPole-v1", 2, seed=0, one_hot=True) as env:
        assert env.action_spec == OneHot(2)
        batch = env.rollout(10)
        assert env.action_spec.is_in(batch["action"])
    with GymEnv("CartPole-v1", 2, seed=0) as env:
        indices = iter(batch["action"].argmax(-1).unbind(1))
        same = env.rollout(10, lambda td: td.set("action", next(indices)))
    assert torch.equal(same["observation"], batch["observation"])


def test_a_device_is_where_the_tensors_are():
    with GymEnv("FrozenLake-v1", 2, device="meta") as env:  # a device without memory, but everywhere to be had
        root = env.reset()
        assert {value.device.type for value in root.values(True, True)} == {"meta"}
        assert env.action_spec.device.type == env.specs["next", "reward"].device.type == "meta"
        assert isinstance(env.begin()["observation"], np.ndarray)


def test_env_kwargs_reach_the_environment():
    with GymEnv("FrozenLake-v1", env_kwargs={"map_name": "8x8"}) as env:
        assert env.observation_spec["observation"].n == 64


class TestEnd:
    def test_closing_twice_is_once(self, counting):
        class Counted(counting):
            closed = 0

            def close(self):
                type(self).closed += 1

        with GymEnv(Counted) as env:
            env.close()
        env.close()
        assert Counted.closed == 1

    def test_nothing_works_after_it(self, counting):
        env = GymEnv(counting)
        env.begin()
        env.close()
        with pytest.raises(EnvError, match=r"'Counting' cannot be stepped: it was closed. Make a new GymEnv."):
            env.advance(np.array([0]))
        with pytest.raises(EnvError, match=r"'Counting' cannot be reset: it was closed. Make a new GymEnv."):
            env.reset()

    def test_a_step_before_the_first_reset(self, counting):
        with (
            GymEnv(counting) as env,
            pytest.raises(EnvError, match=r"it has not begun: call begin\(\) or reset\(\) first"),
        ):
            env.advance(np.array([0]))


def test_a_step_without_an_action(counting):
    with GymEnv(counting, 2) as env:
        td = env.reset()
        with pytest.raises(MissingKeyError) as caught:
            env.step(td)
    assert str(caught.value) == (
        "'Counting' cannot be stepped: the TensorDict does not hold 'action'.\n"
        "   the TensorDict holds: 'observation', 'done', 'terminated', 'truncated', 'is_init'\n"
        "   Call the policy first: env.step(policy(td))."
    )


def test_an_environment_that_is_made_already():
    inner = gymnasium.make("Pendulum-v1")
    with GymEnv(inner, seed=0) as env:
        assert env.name == "Pendulum-v1"
        assert repr(env) == "GymEnv('Pendulum-v1', num_envs=1)"
        assert env.rollout(2).batch_size == (1, 2)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiDiscrete([2, 3], start=[1, -1]),
        spaces.MultiBinary(3),
        spaces.Box(-1, np.inf, (2, 2), np.float32),
        spaces.Box(np.float64(-1), np.float64(1), (2,), np.float64),
    ],
    ids=str,
)
@pytest.mark.parametrize("workers", ["sync", "process"])
def test_actions_reach_the_environment_in_its_own_form(space, workers, nested):
    with GymEnv(nested, 2, env_kwargs={"action_space": space}, workers=workers, seed=0) as env:
        batch = env.rollout(4)
        assert batch["action"].shape == (2, 4, *env.action_spec.shape)
        assert env.action_spec.is_in(batch["action"])
    inner = nested(space)
    with GymEnv(inner, seed=0) as env:
        env.step(env.reset().set("action", batch["action"][:1, 0]))
        assert space.contains(inner.taken)
        assert np.allclose(env.action_spec.encode(inner.taken), batch["action"][0, 0])


def test_any_callable_is_a_policy(counting):
    def policy(td):
        return TensorDict({**td, "action": torch.zeros(2, dtype=torch.int64)}, td.batch_size)

    with GymEnv(counting, 2) as env:
        assert env.rollout(4, policy)["next", "terminated"][:, -1].all()
