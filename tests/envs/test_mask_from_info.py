"""Masks in the info of environments, as Gymnasium's own Taxi has them."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from keywork._errors import EnvError, UsageError
from keywork.envs import GymEnv, MaskFromInfo


@pytest.mark.parametrize("workers", ["sync", "process"])
def test_the_mask_of_taxi(workers):
    inner = gymnasium.make("Taxi-v4").unwrapped
    with GymEnv(lambda: MaskFromInfo(gymnasium.make("Taxi-v4")), 2, workers=workers, seed=0) as env:
        batch = env.rollout(250)  # cut off at 200
    assert batch["next", "truncated"].sum() == 2
    for key in ((), ("next",)):
        states, masks = batch[(*key, "observation")].flatten(), batch[(*key, "action_mask")].flatten(0, 1)
        for state, mask in zip(states[::7].tolist(), masks[::7].tolist(), strict=True):
            assert mask == [bool(flag) for flag in inner.action_mask(state)]
    inner.close()


def test_actions_that_taxi_allows_change_its_state():
    with GymEnv(lambda: MaskFromInfo(gymnasium.make("Taxi-v4")), 2, seed=0) as env:
        batch = env.rollout(60)
    assert (batch["observation"] != batch["next", "observation"]).all()  # what it does not allow, changes nothing


def test_it_can_be_registered_with_an_environment():
    gymnasium.register(
        "tests/MaskedTaxi-v0",
        entry_point=gymnasium.spec("Taxi-v4").entry_point,
        additional_wrappers=(MaskFromInfo.wrapper_spec(),),
    )
    with GymEnv("tests/MaskedTaxi-v0", 2) as env:
        assert env.rollout(3)["action_mask"].shape == (2, 3, 6)


def test_a_dict_keeps_its_entries(nested):
    class WithMask(nested):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=seed)[0], {"action_mask": [True, False, True]}

        def step(self, action):
            return (*super().step(action)[:4], {"action_mask": np.array([0, 1, 1])})

    with GymEnv(lambda: MaskFromInfo(WithMask(spaces.Discrete(3)))) as env:
        plain = GymEnv(lambda: WithMask(spaces.Discrete(3)))
        assert {*env.observation_spec.keys()} == {*plain.observation_spec.keys(), "action_mask"}
        batch = env.rollout(2)
    assert batch["action_mask"][0].tolist() == [[True, False, True], [False, True, True]]


@pytest.mark.parametrize(
    ("info", "there"),
    [
        ({}, r"info holds \[\]"),
        ({"mask": 1}, r"info holds \['mask'\]"),
        ({"action_mask": None}, r"info\['action_mask'\] is None"),
        ({"action_mask": np.ones(3, np.int8)}, r"is array\(\[1, 1, 1\], dtype=int8\)"),
        ({"action_mask": np.array([1, 0.5])}, r"is array\(\[1. , 0.5\]\)"),
        ({"action_mask": [1, 2]}, r"is \[1, 2\]"),
    ],
)
def test_an_info_without_a_mask_is_refused(info, there, counting):
    class Telling(counting):
        def step(self, action):
            return (*super().step(action)[:4], info)

        def reset(self, *, seed=None, options=None):
            return super().reset(seed=seed)[0], {"action_mask": np.ones(2, np.int8)}

    with GymEnv(lambda: MaskFromInfo(Telling()), 2) as env:
        env.begin()
        text = (
            rf"env 0 of 2 raised EnvError: .*does not tell which actions are allowed: .*{there}.\n.*has 2 flags, 0 or 1"
        )
        with pytest.raises(EnvError, match=text):
            env.advance(np.array([0, 0]))


def test_what_cannot_be_wrapped(nested, doors):
    with pytest.raises(
        UsageError, match=r"actions of the space Box.* have no choices that a mask could allow.\n.*without it"
    ):
        MaskFromInfo(nested())
    with pytest.raises(UsageError, match=r"its observation has an entry 'action_mask' already.\n.*without it"):
        MaskFromInfo(doors())
