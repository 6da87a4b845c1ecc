"""What is no action is refused: at once on the CPU, elsewhere as soon as somebody looks."""

import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from keywork._errors import EnvError
from keywork.envs.native import Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum


def begun(cls, **kwargs):
    env = cls(3, seed=0, **kwargs)
    env.begin()
    return env


@pytest.mark.parametrize(
    ("cls", "action", "text"),
    [
        (
            CartPole,
            torch.zeros(3, 1, dtype=torch.int64),
            r"'action' has the shape \[3, 1\].\n   They take \[3\]: one row",
        ),
        (CartPole, torch.zeros(2, dtype=torch.int64), r"'action' has the shape \[2\].\n   They take \[3\]"),
        (Pendulum, torch.zeros(3), r"'action' has the shape \[3\].\n   They take \[3, 1\]"),
        (CartPole, torch.zeros(3), r"has the dtype torch.float32.\n   They take torch.int64: .*argmax\(-1\) picks"),
        (CartPole, torch.zeros(3, dtype=torch.bool), "has the dtype torch.bool"),
        (Pendulum, torch.zeros(3, 1, dtype=torch.int64), r"has the dtype torch.int64.*\n.*action.float\(\) casts it"),
        (CartPole, torch.tensor([0, 1, 2]), r"of env 2 is outside of its space: 2\n   its space: Categorical\(n=2"),
        (CartPole, torch.tensor([0, -1, 1]), "of env 1 is outside of its space: -1"),
        (Pendulum, torch.tensor([[0.0], [2.5], [0.0]]), r"of env 1 .* space: 2.5\n(.*\n)*.*clip_actions=True"),
        (Pendulum, torch.tensor([[math.nan], [0.0], [0.0]]), "of env 0 is not finite: nan"),
        (Pendulum, torch.tensor([[0.0], [0.0], [-math.inf]]), "of env 2 is not finite: -inf"),
    ],
)
def test_a_wrong_action_is_refused_and_nothing_has_moved(cls, action, text):
    env = begun(cls)
    before = env.state
    with pytest.raises(EnvError, match=text):
        env.advance(action)
    assert torch.equal(env.state, before)
    assert env.advance(env.random_action()).reward.shape == (3, 1)


def test_where_looking_means_waiting_a_wrong_action_is_refused_later():
    env = begun(CartPole)
    env._can_look = False
    reached = env.advance(torch.tensor([0, 7, 0]))
    text = "'action' of env 1 is outside of its space: in a step that was taken meanwhile"
    with pytest.raises(EnvError, match=text):
        list(reached.episodes)
    with pytest.raises(EnvError, match=r"cannot be stepped: it was given an action that is none\. Call begin"):
        env.advance(torch.zeros(3, dtype=torch.int64))
    env.begin()
    env.advance(torch.tensor([0, 7, 0]))
    env.advance(torch.tensor([0, 1, 0]))
    with pytest.raises(EnvError, match=text):
        env.begin()
    env.begin()
    assert len(env.advance(torch.zeros(3, dtype=torch.int64)).episodes) == 0


def test_arrays_and_other_dtypes_of_the_same_kind_are_taken():
    first, second, third = (begun(CartPole) for _ in range(3))
    expected = first.advance(torch.tensor([0, 1, 1])).observation["observation"]
    assert torch.equal(second.advance(np.array([0, 1, 1])).observation["observation"], expected)
    assert torch.equal(third.advance(torch.tensor([0, 1, 1], dtype=torch.int8)).observation["observation"], expected)


def test_clipped_actions_are_those_on_the_bounds():
    clipped, bound = begun(Pendulum, clip_actions=True), begun(Pendulum)
    result = clipped.advance(torch.tensor([[9.0], [-9.0], [0.5]]))
    expected = bound.advance(torch.tensor([[2.0], [-2.0], [0.5]]))
    assert torch.equal(result.reward, expected.reward)
    assert torch.equal(clipped.state, bound.state)
    for number in (math.nan, math.inf):
        with pytest.raises(EnvError, match=f"of env 1 is not finite: {number}"):
            clipped.advance(torch.tensor([[0.0], [number], [0.0]]))
    # Rounding, and no more, is no offence: a 2e-6 is within 1e-6 of the bounds' distance, 4.
    assert torch.equal(begun(Pendulum).advance(torch.tensor([[2.000002], [-2.0], [0.5]])).reward, expected.reward)


def test_an_action_with_a_gradient_is_taken_and_leaves_none():
    action = torch.zeros(3, 1, requires_grad=True)
    assert not begun(Pendulum).advance(action).reward.requires_grad


@pytest.mark.parametrize("cls", [Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum])
def test_no_step_waits_for_an_accelerator(cls):
    """Fake tensors hold no numbers: whatever looked at one would raise, as `bool(done.any())` does."""
    env = cls(3, seed=0)
    env._can_look = False
    with FakeTensorMode(allow_non_fake_inputs=True):
        root = env.reset()
        for _ in range(3):
            step, root = env.step_and_maybe_reset(root.set("action", env.random_action()))
        assert step["next", "reward"].shape == (3, 1)
        with pytest.raises(DataDependentOutputException):
            bool(step["next", "done"].any())
