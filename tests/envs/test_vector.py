"""Each of Gymnasium's ways to begin a new episode yields the same data."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from keywork._errors import EnvError, UsageError
from keywork.envs import VALID, GymEnv

# Three environments, twelve steps: 1 cuts an episode off, and without it the fourth step ends it.
ACTIONS = np.array(
    [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1], [0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]]
)


class Scripted:
    """A policy that plays the columns of a table."""

    def __init__(self, actions):
        self.columns = iter(torch.as_tensor(actions).T)

    def __call__(self, td):
        return td.set("action", next(self.columns).clone())


def check_rows(batch, rows):
    """The steps of one environment against what they should have been."""
    for key, part in (
        ("observation", 0),
        (("next", "observation"), 1),
        (("next", "reward"), 2),
        (("next", "terminated"), 3),
        (("next", "truncated"), 4),
    ):
        wanted = torch.tensor([row[part] for row in rows], dtype=batch[key].dtype).reshape(batch[key].shape)
        torch.testing.assert_close(batch[key], wanted, rtol=0, atol=0)
    done = torch.tensor([row[3] or row[4] for row in rows]).unsqueeze(-1)
    assert torch.equal(batch["next", "done"], done)
    assert torch.equal(batch["is_init"], torch.cat([torch.ones(1, 1, dtype=torch.bool), done[:-1]]))
    assert not batch["done"].any()
    assert not batch["terminated"].any()
    assert not batch["truncated"].any()


class BatchedFinals(VectorEnv):
    """A vector environment of one piece: SAME_STEP, with the final observations as one batched array."""

    def __init__(self, make, num_envs):
        self.inner = SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.DISABLED)
        self.num_envs, self.metadata = num_envs, {"autoreset_mode": AutoresetMode.SAME_STEP}
        for name in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
            setattr(self, name, getattr(self.inner, name))

    def reset(self, *, seed=None, options=None):
        return self.inner.reset(seed=seed)

    def step(self, actions):
        final, reward, terminated, truncated, _ = self.inner.step(actions)
        done = terminated | truncated
        if not done.any():
            return final, reward, terminated, truncated, {}
        observation, _ = self.inner.reset(options={"reset_mask": done})
        return observation, reward, terminated, truncated, {"final_obs": final}

    def close_extras(self):
        self.inner.close()


def make_sync(mode, copy=True):
    return lambda make: SyncVectorEnv([make] * 3, autoreset_mode=mode, copy=copy)


WITHOUT_GAPS = {
    "in process": lambda make: GymEnv(make, 3),
    "worker processes": lambda make: GymEnv(make, 3, workers="process"),
    "same step": lambda make: GymEnv(make_sync(AutoresetMode.SAME_STEP)(make)),
    "same step, no copies": lambda make: GymEnv(make_sync(AutoresetMode.SAME_STEP, copy=False)(make)),
    "disabled": lambda make: GymEnv(make_sync(AutoresetMode.DISABLED)(make)),
    "disabled, no copies": lambda make: GymEnv(make_sync(AutoresetMode.DISABLED, copy=False)(make)),
    "batched finals": lambda make: GymEnv(BatchedFinals(make, 3)),
    "async, same step": lambda make: GymEnv(
        AsyncVectorEnv([make] * 3, autoreset_mode=AutoresetMode.SAME_STEP, context="forkserver")
    ),
    "async, disabled": lambda make: GymEnv(
        AsyncVectorEnv([make] * 3, autoreset_mode=AutoresetMode.DISABLED, context="forkserver")
    ),
}


@pytest.mark.parametrize("kind", WITHOUT_GAPS)
def test_every_step_is_the_one_that_was_taken(kind, counting, expected):
    with WITHOUT_GAPS[kind](counting) as env:
        assert not env.has_gaps
        batch = env.rollout(12, Scripted(ACTIONS))
    assert batch.batch_size == (3, 12)
    assert VALID not in batch.keys(include_nested=True)
    for row, actions in zip(batch, ACTIONS, strict=True):
        check_rows(row, expected(actions))


@pytest.mark.parametrize("kind", ["in process", "worker processes"])
def test_an_environment_may_return_the_same_array_again(kind, reusing, expected):
    with WITHOUT_GAPS[kind](reusing) as env:
        batch = env.rollout(12, Scripted(ACTIONS))
    for row, actions in zip(batch, ACTIONS, strict=True):
        check_rows(row, expected(actions))


@pytest.mark.parametrize("copy", [True, False])
def test_a_step_that_is_a_reset_is_masked_and_joins_nothing(counting, expected, copy):
    # Next-step autoreset: after each end one step passes whose action is ignored. With the actions of env 1,
    # 1 1 0 1 0 0 0 0 1 0 0 1, step 0 is cut off, 1 ignored, 2 and 3 are an episode cut off at 3, 4 is ignored.
    with GymEnv(make_sync(AutoresetMode.NEXT_STEP, copy)(counting)) as env:
        assert env.has_gaps
        batch = env.rollout(12, Scripted(ACTIONS))
    valid = batch[VALID].squeeze(-1)
    assert valid[1].tolist() == [True, False, True, True, False, True, True, True, True, False, True, True]
    for row, actions, real in zip(batch, ACTIONS, valid, strict=True):
        wanted = expected(actions[real.numpy()])
        for key, part in (("observation", 0), (("next", "observation"), 1), (("next", "reward"), 2)):
            assert row[key][real].reshape(len(wanted), -1).tolist() == [np.ravel(r[part]).tolist() for r in wanted]
        assert row["next", "terminated"][real].squeeze(-1).tolist() == [r[3] for r in wanted]
        assert row["next", "truncated"][real].squeeze(-1).tolist() == [r[4] for r in wanted]
        for index in (~real).nonzero().flatten().tolist():
            final = row["next", "observation"][index - 1]
            assert torch.equal(row["observation"][index], final)
            assert torch.equal(row["next", "observation"][index], final)
            assert row["next", "reward"][index] == 0
            assert row["next", "truncated"][index]
            assert not row["next", "terminated"][index]
        # Masked or not, a step that begins an episode follows one that is done, and no other does.
        assert torch.equal(row["is_init"][1:], row["next", "done"][:-1])


def test_statistics_do_not_count_a_step_that_is_a_reset(counting):
    with GymEnv(make_sync(AutoresetMode.NEXT_STEP)(counting)) as env:
        env.begin()
        episodes = [env.advance(column).episodes for column in np.zeros((10, 3), np.int64)]
    # Steps 0..3 are the first episode (1 + 2 + 3 + 4 = 10), step 4 is a reset, 5..8 the second (4 * 10 + 10 = 50).
    ended = {step: stats for step, stats in enumerate(episodes) if stats}
    assert {step: [tuple(s) for s in stats] for step, stats in ended.items()} == {
        3: [(0, 10.0, 4), (1, 10.0, 4), (2, 10.0, 4)],
        8: [(0, 50.0, 4), (1, 50.0, 4), (2, 50.0, 4)],
    }


def test_a_reset_forgets_that_an_episode_had_ended(counting):
    with GymEnv(make_sync(AutoresetMode.NEXT_STEP)(counting)) as env:
        env.begin()
        env.advance(np.array([1, 1, 1]))
        env.begin()
        assert env.advance(np.array([0, 0, 0])).valid is None


@pytest.mark.parametrize("mode", AutoresetMode)
def test_nested_observations_of_a_vector_environment(nested, mode):
    # A Nested is cut off after three steps; its second reset is part of step 3, or under NEXT_STEP is step 3.
    with GymEnv(make_sync(mode)(nested)) as env:
        batch = env.rollout(3, seed=0)
        following = env.advance(np.zeros((3, 2), np.float32))
    assert batch["camera"][:, :, 0, 0, 0].tolist() == [[0, 1, 2]] * 3
    assert batch["next", "camera"][:, :, 0, 0, 0].tolist() == [[1, 2, 3]] * 3
    assert batch["next", "body", "floor"].tolist() == [[1, 2, 0]] * 3  # 6, 7, 5, counted from 5
    assert batch["next", "cards", "0"][0].tolist() == [[1, 4], [2, 4], [3, 4]]
    assert batch["next", "cards", "1"][0].tolist() == [[1, 0, 1], [1, 0, 0], [1, 0, 1]]
    if mode is AutoresetMode.NEXT_STEP:
        assert not following.valid.any()
        assert following.next_observation["camera"][0, 0, 0, 0] == 3
        assert following.observation["camera"][0, 0, 0, 0] == 0
    else:
        assert following.next_observation["camera"][0, 0, 0, 0] == 1


def test_wrappers_around_a_vector_environment_are_kept(counting, expected):
    vector = gymnasium.wrappers.vector.TransformReward(make_sync(AutoresetMode.SAME_STEP)(counting), lambda r: 2 * r)
    with GymEnv(vector) as env:
        batch = env.rollout(12, Scripted(ACTIONS))
    assert (batch["next", "reward"][0] / 2).flatten().tolist() == [row[2] for row in expected(ACTIONS[0])]


def test_the_vectorised_form_of_an_id():
    with GymEnv("CartPole-v1", 4, workers="vector", seed=0) as env:
        assert env.has_gaps
        batch = env.rollout(80, seed=0)
        again = env.rollout(80, seed=0)
    assert (batch == again).all()
    real = batch[VALID].squeeze(-1)
    assert 0 < (~real).sum() < 40
    first = batch["observation"][batch["is_init"].squeeze(-1) & real]
    assert first.abs().max() <= 0.05  # where CartPole begins
    last = batch["next", "observation"][batch["next", "terminated"].squeeze(-1)]
    assert (last[:, 2].abs() > 0.2).all()  # fallen over: 12 degrees are 0.209


def test_a_vector_environment_that_does_not_say_when_it_resets(counting):
    vector = make_sync(AutoresetMode.SAME_STEP)(counting)
    vector.metadata = {}
    with pytest.raises(UsageError, match=r"does not say when it resets.*\n.*None\n.*AutoresetMode.NEXT_STEP"):
        GymEnv(vector)
    vector.close()


def test_final_observations_that_are_missing_are_named(counting):
    vector = make_sync(AutoresetMode.NEXT_STEP)(counting)
    vector.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # a lie
    with GymEnv(vector) as env:
        env.begin()
        with pytest.raises(EnvError, match=r"env 1 of 3 broke its autoreset mode: there is no final observation"):
            env.advance(np.array([0, 1, 0]))
