"""Images, time limits and Gymnasium's own wrappers, each on the way from the environment to the batch."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces, wrappers
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from keywork.buffers import ReplayBuffer
from keywork.collectors import Collector
from keywork.envs import GymEnv


@pytest.mark.parametrize("workers", ["sync", "process"])
def test_images_stay_bytes_as_far_as_the_buffer(workers, nested):
    with GymEnv(nested, 2, workers=workers) as env:
        assert env.observation_spec["camera"].dtype == torch.uint8
        assert env.observation_spec["camera"].shape == (2, 3, 3)
        batch = Collector(env, None, frames_per_batch=8).collect()
    for key in ("camera", ("next", "camera")):
        assert batch[key].dtype == torch.uint8
        assert batch[key].shape == (2, 4, 2, 3, 3)
    # Three steps to an episode: the cameras show 0, 1, 2 and 0 again.
    assert batch["camera"][0, :, 0, 0, 0].tolist() == [0, 1, 2, 0]
    buffer = ReplayBuffer(8)
    buffer.extend(batch)
    sample = buffer.sample(4)
    assert sample["camera"].dtype == sample["next", "camera"].dtype == torch.uint8


class TestTimeLimit:
    def ends(self, limit, actions, counting):
        """Terminated and truncated of each step of a Counting, which ends by itself with its fourth."""
        with GymEnv(lambda: wrappers.TimeLimit(counting(), limit)) as env:
            env.begin()
            flags = [env.advance(np.array([action])) for action in actions]
        assert all((f.done == (f.terminated | f.truncated)).all() for f in flags)
        return [(f.terminated.item(), f.truncated.item()) for f in flags]

    def test_it_cuts_off(self, counting):
        assert self.ends(3, [0] * 6, counting) == [(False, False), (False, False), (False, True)] * 2

    def test_an_end_before_it_is_none_of_its(self, counting):
        assert self.ends(5, [0] * 5, counting) == [(False, False)] * 3 + [(True, False), (False, False)]

    def test_both_at_once_stay_both(self, counting):
        assert self.ends(4, [0] * 4, counting)[-1] == (True, True)

    def test_the_observation_of_a_cut_off_episode_is_its_last(self, counting):
        with GymEnv(lambda: wrappers.TimeLimit(counting(), 2), 2) as env:
            batch = env.rollout(4, lambda td: td.set("action", torch.zeros(2, dtype=torch.int64)))
        assert batch["next", "observation"][0].tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
        assert batch["observation"][0].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize("workers", ["sync", "process"])
def test_stacked_frames(workers, counting):
    with GymEnv(lambda: wrappers.FrameStackObservation(counting(), 3), 2, workers=workers) as env:
        assert env.observation_spec["observation"].shape == (3, 2)
        batch = env.rollout(6, lambda td: td.set("action", torch.zeros(2, dtype=torch.int64)))
    steps = batch["observation"][1, :, :, 1].tolist()  # the second number counts the steps
    assert steps == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [0, 0, 0], [0, 0, 1]]
    assert batch["next", "observation"][1, 3, :, 1].tolist() == [2, 3, 4]


def test_normalised_observations():
    with GymEnv(lambda: wrappers.NormalizeObservation(gymnasium.make("Pendulum-v1")), 2, seed=0) as env:
        batch = env.rollout(400)
    late = batch["observation"][:, 200:]
    assert late.dtype == torch.float32
    assert late.isfinite().all()
    assert (late.std((0, 1)) < 2).all()  # the third was up to 8


def test_statistics_are_of_the_rewards_of_the_outermost_wrapper(counting):
    with GymEnv(lambda: wrappers.TransformReward(counting(), lambda reward: 2 * reward), 2) as env:
        env.begin()
        steps = [env.advance(np.zeros(2, np.int64)) for _ in range(4)]
    assert [step.reward[0, 0] for step in steps] == [2, 4, 6, 8]
    assert steps[-1].episodes == [(0, 20.0, 4), (1, 20.0, 4)]


def test_actions_of_another_space(counting):
    def make():
        return wrappers.TransformAction(counting(), lambda a: int(a[0] > 0), spaces.Box(-1, 1, (1,)))

    with GymEnv(make, 2) as env:
        env.begin()
        assert env.advance(np.array([[-1], [1]], np.float32)).truncated.tolist() == [[False], [True]]


# Gymnasium's own wrappers of vector observations refuse SAME_STEP.
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_wrappers_of_vector_environments(mode, counting):
    vector = SyncVectorEnv([counting] * 2, autoreset_mode=mode)
    vector = wrappers.vector.TransformReward(vector, lambda reward: -reward)
    vector = wrappers.vector.RescaleObservation(
        wrappers.vector.VectorizeTransformObservation(
            vector, wrappers.TransformObservation, func=lambda o: o[1:], observation_space=spaces.Box(0, 4, (1,))
        ),
        np.float32(0),
        np.float32(1),
    )
    with GymEnv(vector) as env:
        batch = env.rollout(4, lambda td: td.set("action", torch.zeros(2, dtype=torch.int64)))
    # Four steps to an episode, rescaled from 0 .. 4 to 0 .. 1; the last is the true final one.
    assert batch["observation"][0].flatten().tolist() == [0, 0.25, 0.5, 0.75]
    assert batch["next", "observation"][1].flatten().tolist() == [0.25, 0.5, 0.75, 1]
    assert batch["next", "reward"][0].flatten().tolist() == [-1, -2, -3, -4]
    assert batch["next", "terminated"][0].flatten().tolist() == [False, False, False, True]
