"""Masks of actions: shown as bools, and kept to by random actions, however the environments are run."""

from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from keywork._errors import EnvError, SpecError, UsageError
from keywork.collectors import Collector
from keywork.envs import VALID, GymEnv, MaskFromInfo
from keywork.envs._masks import allowed_action, open_ends
from keywork.modules import ProbabilisticActor
from keywork.specs import MultiBinary

WAYS = {
    "sync": lambda make: GymEnv(make, 3, seed=0),
    "process": lambda make: GymEnv(make, 3, seed=0, workers="process"),
    "next step": lambda make: GymEnv(SyncVectorEnv([make] * 3, autoreset_mode=AutoresetMode.NEXT_STEP), seed=0),
    "same step": lambda make: GymEnv(SyncVectorEnv([make] * 3, autoreset_mode=AutoresetMode.SAME_STEP), seed=0),
    "disabled": lambda make: GymEnv(SyncVectorEnv([make] * 3, autoreset_mode=AutoresetMode.DISABLED), seed=0),
    "async": lambda make: GymEnv(
        AsyncVectorEnv([make] * 3, autoreset_mode=AutoresetMode.NEXT_STEP, context="forkserver"), seed=0
    ),
}
ACTIONS = {
    "one wall": spaces.Discrete(4, start=-1),
    "two walls": spaces.MultiDiscrete([2, 3], start=[1, 0]),
    "a grid of walls": spaces.MultiDiscrete([[2, 3], [1, 2]]),
}


def check_masked(env, choices):
    """A rollout of random actions: every forbidden one would have raised."""
    batch = env.rollout(40, seed=1)
    mask = batch["action_mask"]
    assert mask.dtype == batch["next", "action_mask"].dtype == torch.bool
    assert mask.shape == batch["next", "action_mask"].shape == (3, 40, choices)
    for key in ("action_mask", ("next", "action_mask")):
        assert env.specs[key] == MultiBinary(choices, dtype=torch.bool)
    assert env.specs.is_in(batch)
    real = batch[VALID].squeeze(-1) if env.has_gaps else torch.ones(3, 40, dtype=torch.bool)
    assert (~real).any() == env.has_gaps
    assert mask.any(-1).all()  # also where a step is none: a policy acts on its mask all the same
    assert not mask[real].all(-1).all()
    end = batch["next", "terminated"].squeeze(-1)
    assert end.sum() >= 3 * 7
    assert batch["next", "action_mask"][end].all()  # all doors are closed there, and a loss may ask about it
    within = ~batch["next", "done"].squeeze(-1)[:, :-1]
    assert torch.equal(mask[:, 1:][within], batch["next", "action_mask"][:, :-1][within])
    return batch


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["observation", "info"])
def test_random_actions_keep_to_the_mask_however_it_comes(way, where, doors):
    make = doors if where == "observation" else lambda: MaskFromInfo(doors(where="info"))
    with WAYS[way](make) as env:
        batch = check_masked(env, 4)
    chosen = batch["action_mask"].gather(-1, batch["action"].unsqueeze(-1)).squeeze(-1)
    assert chosen[batch["next", "reward"].squeeze(-1) > 0].all()


@pytest.mark.parametrize("space", ACTIONS.values(), ids=ACTIONS)
@pytest.mark.parametrize("where", ["observation", "info"])
def test_of_several_choices_each_has_its_own_flags(space, where, doors):
    make = partial(doors, space)
    if where == "info":
        make = lambda: MaskFromInfo(doors(space, where="info"))  # noqa: E731
    with GymEnv(make, 3) as env:
        check_masked(
            env, {"one wall": 4, "two walls": 5, "a grid of walls": 8}[next(k for k in ACTIONS if ACTIONS[k] is space)]
        )


@pytest.mark.parametrize(
    "flags",
    [
        spaces.MultiBinary(4),
        spaces.Box(0, 1, (4,), np.int8),
        spaces.Box(0, 1, (4,), np.uint8),
        spaces.Box(0, 1, (4,), np.bool_),
        spaces.Box(0, 1, (4,), np.float32),
    ],
    ids=str,
)
def test_flags_of_any_kind_become_bools(flags, doors):
    with GymEnv(doors, 3, env_kwargs={"flags": flags}) as env:
        check_masked(env, 4)


def test_one_hot_actions_keep_to_the_mask(doors):
    with GymEnv(doors, 3, one_hot=True) as env:
        batch = check_masked(env, 4)
    taken = batch["action"].bool() & batch["action_mask"]
    assert taken.any(-1).all()


def test_the_mask_of_a_random_action_is_not_the_callers(doors):
    with GymEnv(doors, 3, seed=0) as env:
        observation, rewards = env.begin(), 0.0
        for _ in range(8):
            observation["action_mask"][...] = True
            taken = env.advance(env.random_action())  # a closed door would raise
            observation, rewards = taken.observation, rewards + taken.reward.sum()
    assert rewards == 8 * 3


@pytest.mark.parametrize("way", ["sync", "next step"])
@pytest.mark.parametrize("space", [ACTIONS["one wall"], ACTIONS["two walls"]], ids=["one wall", "two walls"])
def test_a_policy_reads_the_mask(way, space, doors):
    with WAYS[way](partial(doors, space)) as env:
        policy = ProbabilisticActor.from_spec(env.observation_spec, env.action_spec, action_mask_key="action_mask")
        batch = Collector(env, policy, frames_per_batch=3 * 40).collect()  # a closed door would raise
    assert batch["next", "terminated"].sum() >= 3 * 7
    following = batch["next"].exclude("reward", "done", "terminated", "truncated")
    policy(following)  # ... and of final observations it can be asked as well
    assert following["action"].shape == batch["action"].shape


def test_an_end_that_allows_nothing_is_opened_part_by_part():
    mask = np.array([[0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]], np.bool_)
    open_ends(mask, np.array([True, False, True]), [2, 3])
    assert mask.astype(int).tolist() == [[1, 1, 0, 1, 0], [0, 0, 0, 1, 0], [1, 0, 1, 1, 1]]


def test_allowed_actions_are_uniform():
    # Of the 4 choices -1 .. 2 the mask allows -1 and 1: each half of 2000, standard deviation sqrt(2000 / 4) = 22.4.
    space = spaces.Discrete(4, start=-1)
    space.seed(0)
    drawn = [int(allowed_action(space, np.array([True, False, True, False]), 0)) for _ in range(2000)]
    assert set(drawn) == {-1, 1}
    assert abs(drawn.count(1) - 1000) < 5 * 22.4


def test_seeds_decide_over_allowed_actions(doors):
    with GymEnv(doors, 3, seed=0) as env:
        batch = env.rollout(12, seed=5)
        assert (batch == env.rollout(12, seed=5)).all()
    with GymEnv(doors, 1, seed=5) as env:
        assert (batch[:1] == env.rollout(12)).all()


def test_a_mask_that_allows_nothing_is_named(doors):
    with GymEnv(doors, 2, env_kwargs={"jammed": 1}) as env:
        env.begin()
        env.advance(env.random_action())
        with pytest.raises(EnvError) as caught:
            env.random_action()
    assert str(caught.value) == (
        "No random action can be drawn: 'action_mask' of env 0 allows none: [False, False, False, False]\n"
        "   its space: Discrete(4, start=-1)\n"
        "   Mend the environment: while an episode goes on, one action at least is allowed."
    )


class Shown(gymnasium.Env):
    """Shows an entry of whatever space, and takes whatever actions."""

    def __init__(self, shown, actions):
        self.observation_space, self.action_space = spaces.Dict({"action_mask": shown}), actions

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"action_mask": np.ones(self.observation_space["action_mask"].shape, np.int8)}, {}

    def step(self, action):
        return self.reset()[0], 0.0, False, False, {}


def test_a_mask_of_another_size_is_refused():
    closed = []
    make = type("Closing", (Shown,), {"close": lambda self: closed.append(True)})
    with pytest.raises(UsageError) as caught:
        GymEnv(lambda: make(spaces.MultiBinary(3), spaces.MultiDiscrete([2, 2])))
    assert str(caught.value) == (
        "GymEnv cannot read the mask 'action_mask': it has the shape [3].\n"
        "   The actions are of the space MultiDiscrete([2 2]): a mask of them has the shape [4], a flag for each "
        "choice.\n   Mend the environment, or rename the entry with gymnasium.wrappers.TransformObservation."
    )
    assert closed == [True]


@pytest.mark.parametrize("shown", [spaces.Box(-np.inf, 0, (3,)), spaces.Discrete(2), spaces.Box(0, 2, (3,), np.int8)])
def test_a_mask_without_flags_is_refused(shown):
    text = (
        r"'action_mask' is (Box|Discrete).*not made of flags.\n.*MultiBinary\(n\), or Box\(0, 1.*\n.*rename the entry"
    )
    with pytest.raises(SpecError, match=text):
        GymEnv(lambda: Shown(shown, spaces.Discrete(3)))


def test_numbers_that_are_no_flags_are_refused(doors):
    class Half(doors):
        def _shown(self):
            observation, info = super()._shown()
            return {**observation, "action_mask": observation["action_mask"] / 2}, info

    with (
        GymEnv(lambda: Half(flags=spaces.Box(0, 1, (4,)))) as env,
        pytest.raises(EnvError, match="'action_mask' holds float32; its space is discrete"),
    ):
        env.begin()


def test_where_actions_are_no_choices_it_is_an_observation():
    with GymEnv(lambda: Shown(spaces.MultiBinary(3), spaces.Box(-1, 1, (2,)))) as env:
        assert env.rollout(2)["action_mask"].dtype == torch.bool
