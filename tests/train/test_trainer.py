from __future__ import annotations

import pytest

from keywork._errors import UsageError
from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.modules import EGreedyModule
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.train import Trainer


class Watching:
    """An algorithm that learns nothing and remembers what it was given; acts at random."""

    def __init__(self, env, frames):
        self.collector = Collector(env, None, frames_per_batch=frames)
        self.told = []

    def update(self, batch, progress):
        self.told.append((batch.numel(), progress))
        return {"watching/updates": float(len(self.told))}


class Notes:
    def __init__(self, at=None, error=KeyboardInterrupt):
        self.rows, self.at, self.error = [], at, error

    def on_metrics(self, metrics):
        self.rows.append(metrics)
        if len(self.rows) == self.at:
            raise self.error


@pytest.fixture
def algorithm(walk):
    with GymEnv(walk, num_envs=2, seed=0) as env:
        yield Watching(env, frames=8)


def test_trains_on_whole_batches_up_to_the_end(algorithm):
    notes = Notes()
    outcome = Trainer(algorithm, total_frames=20, observers=[notes]).train()
    # Batches of 8 frames: 20 are reached with the third. Before them 0, 8 and 16 of 20 had been collected.
    assert algorithm.told == [(8, 0.0), (8, 0.4), (8, 0.8)]
    assert (outcome.frames, outcome.interrupted) == (24, False)
    assert [row["step"] for row in notes.rows] == [8, 16, 24]
    assert [row["watching/updates"] for row in notes.rows] == [1.0, 2.0, 3.0]
    times = [row["time"] for row in notes.rows]
    assert 0.0 < times[0] < times[1] < times[2] <= outcome.seconds


def test_metrics_tell_of_the_episodes_that_ended(walk):
    # One environment, whose episodes have 1, 2, 3, 3, ... steps, each paying 1 or 10. In six steps three end.
    with GymEnv(walk, num_envs=1, seed=0) as env:
        notes = Notes()
        Trainer(Watching(env, frames=6), total_frames=8, observers=[notes]).train()
    row = notes.rows[0]
    assert (row["episode/count"], row["episode/length_mean"]) == (3.0, 2.0)
    assert row["episode/return_min"] <= row["episode/return_mean"] <= row["episode/return_max"]
    # Six steps pay 1 each, and 9 more wherever the action was 1.
    assert round(3 * row["episode/return_mean"] - 6, 6) % 9 == 0
    # Then steps 7-12: two more, of three steps each.
    assert (notes.rows[1]["episode/count"], notes.rows[1]["episode/length_mean"]) == (2.0, 3.0)


def test_metrics_of_a_batch_in_which_no_episode_ended_have_none(walk):
    with GymEnv(lambda: walk(longest=50), num_envs=1, seed=0) as env:
        notes = Notes()
        Trainer(Watching(env, frames=1), total_frames=2, observers=[notes]).train()
    # The first episode ends with its first step, the second one has two.
    assert "episode/count" in notes.rows[0]
    assert not [name for name in notes.rows[1] if name.startswith("episode/")]
    assert 0.0 < notes.rows[1]["speed/collect_share"] < 1.0
    assert notes.rows[1]["speed/steps_per_second"] > 0.0


@pytest.mark.parametrize("at", [1, 2])
def test_ctrl_c_ends_it_early_and_in_order(algorithm, at):
    first, second = Notes(), Notes(at=at)
    outcome = Trainer(algorithm, total_frames=80, observers=[first, second]).train()
    assert (outcome.frames, outcome.interrupted) == (8 * at, True)
    assert len(first.rows) == len(second.rows) == at


def test_ctrl_c_in_the_update_too(algorithm):
    def update(batch, progress):
        raise KeyboardInterrupt

    algorithm.update = update
    outcome = Trainer(algorithm, total_frames=80).train()
    assert (outcome.frames, outcome.interrupted) == (8, True)


def test_other_errors_are_not_taken_for_the_end(algorithm):
    with pytest.raises(ZeroDivisionError):
        Trainer(algorithm, total_frames=80, observers=[Notes(at=1, error=ZeroDivisionError)]).train()


def test_goes_on_where_it_was_interrupted(algorithm):
    Trainer(algorithm, total_frames=24, observers=[Notes(at=1)]).train()
    assert Trainer(algorithm, total_frames=24).train().frames == 24
    assert [progress for _, progress in algorithm.told] == [0.0, 8 / 24, 16 / 24]


@pytest.mark.parametrize("frames", [0, -1])
def test_refuses_no_frames(algorithm, frames):
    with pytest.raises(UsageError) as raised:
        Trainer(algorithm, total_frames=frames)
    assert str(raised.value) == f"total_frames is {frames}: it has to be 1 or more, such as total_frames=100_000."


def test_exploration_fades_while_it_trains(walk):
    explore = EGreedyModule(eps_init=1.0, eps_end=0.0, annealing_num_steps=32)
    greedy = TensorDictModule(lambda x: x[..., 0].long() % 2, ["observation"], ["action"])
    with GymEnv(walk, num_envs=2, seed=0) as env:
        algorithm = Watching(env, frames=8)
        algorithm.collector = Collector(env, TensorDictSequential(greedy, explore), frames_per_batch=8)
        Trainer(algorithm, total_frames=20).train()
    # Three batches of 8 frames: 1 - 24 / 32
    assert explore.eps.item() == 0.25


class Seldom(Watching):
    """Says something after every third update only."""

    def update(self, batch, progress):
        super().update(batch, progress)
        return {"watching/updates": float(len(self.told))} if len(self.told) % 3 == 0 else {}


def test_nobody_is_told_while_updates_say_nothing(walk):
    # One environment, a frame a round, episodes of 1, 2, 3, 3, ... steps: they end with frames 1, 3, 6, 9, ...
    with GymEnv(walk, num_envs=1, seed=0) as env:
        notes = Notes()
        outcome = Trainer(Seldom(env, frames=1), total_frames=8, observers=[notes]).train()
    # Told after updates 3 and 6, and at the end of the two frames that are left, of which nobody has heard.
    assert [row["step"] for row in notes.rows] == [3, 6, 8]
    assert [row.get("watching/updates") for row in notes.rows] == [3.0, 6.0, None]
    # The episodes of all frames since the last row: two, one, none.
    assert [row.get("episode/count") for row in notes.rows] == [2.0, 1.0, None]
    # Together the rows speak of all 8 frames, and of no longer than it took.
    seconds = sum(n / row["speed/steps_per_second"] for n, row in zip((3, 3, 2), notes.rows, strict=True))
    assert 0.0 < seconds <= outcome.seconds
    assert all(0.0 < row["speed/collect_share"] < 1.0 for row in notes.rows)
