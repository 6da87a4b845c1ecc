"""Nothing that is not an action reaches an environment."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from keywork._errors import EnvError, SpecError, UsageError
from keywork.envs import GymEnv
from keywork.envs._actions import ActionGate

BOX = spaces.Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32))


def gate(space, num_envs=2, *, one_hot=False, clip=False):
    return ActionGate(space, num_envs, one_hot=one_hot, clip=clip)


@pytest.mark.parametrize(
    ("space", "ours", "theirs"),
    [
        (spaces.Discrete(3), [0, 2], [0, 2]),
        (spaces.Discrete(3, start=-1), [0, 2], [-1, 1]),
        (spaces.MultiDiscrete([2, 3], start=[1, 0]), [[0, 2], [1, 0]], [[1, 2], [2, 0]]),
        (spaces.MultiBinary(2), [[0, 1], [1, 1]], [[0, 1], [1, 1]]),
        (BOX, [[-2.0, 0.0], [1.5, 1.0]], [[-2.0, 0.0], [1.5, 1.0]]),
        (spaces.Box(-1, 1, (1,), np.float64), [[0.5], [-1.0]], [[0.5], [-1.0]]),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [torch.tensor, np.array])
def test_actions_in_the_form_of_the_environment(space, ours, theirs, form):
    given_actions = form(ours)
    result = gate(space)(given_actions)
    assert result.dtype == space.dtype
    assert result.tolist() == theirs
    assert all(space.contains(row if row.ndim else row[()]) for row in result)
    result[...] = 1  # an environment may write into its action
    assert given_actions.tolist() == ours


@pytest.mark.parametrize("num_envs", [1, 8, 40])  # few numbers and many are looked at in two ways
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_bound_is_that_of_its_own_place(num_envs, dtype):
    space = spaces.Box(np.array([-2, 0], dtype), np.array([2, 1], dtype), dtype=dtype)
    take, corners = gate(space, num_envs), np.tile(np.array([[2, 1]], np.float32), (num_envs, 1))
    assert (take(corners) == corners).all()
    assert (take(-corners * [1, 0]) == -corners * [1, 0]).all()
    for column, bad, problem in [
        (0, 2.1, "outside"),
        (1, -0.1, "outside"),
        (1, 1.5, "outside"),
        (1, np.nan, "not finite"),
        (0, np.inf, "not finite"),
    ]:
        actions = corners.copy()
        actions[-1, column] = bad
        with pytest.raises(EnvError, match=rf"'action' of env {num_envs - 1} is {problem}"):
            take(torch.from_numpy(actions))


@pytest.mark.parametrize("num_envs", [1, 40])
def test_bounds_of_one_hot_and_shifted_choices(num_envs):
    ones = torch.nn.functional.one_hot(torch.arange(num_envs) % 3, 3)
    expected = (torch.arange(num_envs) % 3 + 4).tolist()
    assert gate(spaces.Discrete(3, start=4), num_envs, one_hot=True)(ones).tolist() == expected
    shifted = gate(spaces.Discrete(3, start=-1), num_envs)
    assert shifted(torch.full((num_envs,), 2)).tolist() == [1] * num_envs
    with pytest.raises(EnvError, match="is outside of its space"):
        shifted(torch.full((num_envs,), 3))


def test_one_hot_actions():
    take = gate(spaces.Discrete(3, start=4), one_hot=True)
    assert take(torch.tensor([[0, 1, 0], [0, 0, 1]])).tolist() == [5, 6]
    assert take(np.array([[1.0, 0, 0], [0, 0, 1]])).tolist() == [4, 6]


@pytest.mark.parametrize(
    ("space", "actions", "text"),
    [
        (spaces.Discrete(3), [0, 3], "'action' of env 1 is outside of its space: 3"),
        (spaces.Discrete(3), [-1, 0], "'action' of env 0 is outside of its space: -1"),
        (spaces.MultiDiscrete([2, 3]), [[0, 0], [2, 0]], r"'action' of env 1 is outside of its space: \[2, 0\]"),
        (spaces.MultiBinary(2), [[0, 2], [0, 0]], r"'action' of env 0 is outside of its space: \[0, 2\]"),
        (BOX, [[0, 0], [0.0, 1.5]], r"'action' of env 1 is outside of its space: \[0.0, 1.5\]"),
        (BOX, [[0, 0], [float("nan"), 0]], r"'action' of env 1 is not finite: \[nan, 0.0\]"),
        (BOX, [[float("inf"), 0], [0, 0]], r"'action' of env 0 is not finite: \[inf, 0.0\]"),
        (spaces.Box(-np.inf, np.inf, (1,)), [[np.inf], [0]], r"'action' of env 0 is not finite: \[inf\]"),
    ],
)
@pytest.mark.parametrize("form", [torch.tensor, np.array])
def test_an_action_outside_is_named(space, actions, text, form):
    with pytest.raises(EnvError, match=text):
        gate(space)(form(actions))


def test_the_message_says_what_to_do():
    with pytest.raises(EnvError) as caught:
        gate(spaces.Box(-2, 2, (1,)))(np.array([[0.0], [2.5]], np.float32))
    assert str(caught.value) == (
        "The environments cannot be stepped: 'action' of env 1 is outside of its space: [2.5]\n"
        "   its space: Bounded(low=-2.0, high=2.0, shape=(1,), dtype=torch.float32)\n"
        "   End the policy in a distribution that fits its action_spec, such as TanhNormal(low=..., high=...), "
        "or pass clip_actions=True."
    )


def test_clipping_puts_on_the_bounds_and_still_refuses_nan():
    take = gate(BOX, clip=True)
    assert take(torch.tensor([[5.0, -3.0], [1.0, 0.5]])).tolist() == [[2.0, 0.0], [1.0, 0.5]]
    with pytest.raises(EnvError, match=r"of env 0 is not finite: \[nan, 0.0\]"):
        take(torch.tensor([[float("nan"), 0.0], [0.0, 0.0]]))


def test_rounding_is_not_outside():
    above = np.nextafter(np.float32(2), np.float32(3))
    assert gate(BOX)(np.array([[above, 0], [0, 0]], np.float32))[0].tolist() == [2, 0]
    with pytest.raises(EnvError):
        gate(BOX)(np.array([[2.0001, 0], [0, 0]], np.float32))


@given(npst.arrays(np.float32, (2, 2), elements=st.floats(width=32)), st.booleans())
def test_nothing_outside_gets_through(actions, clip):
    try:
        result = gate(BOX, clip=clip)(actions)
    except EnvError:
        inside = (actions >= BOX.low) & (actions <= BOX.high)
        assert not inside.all()
        assert not np.isfinite(actions).all() or not clip
    else:
        assert all(BOX.contains(row) for row in result)


@pytest.mark.parametrize("bad", [[[0, 0], [0, 1]], [[1, 1], [0, 1]], [[1, 0], [0.3, 0.4]]])
def test_a_vector_that_is_not_one_hot(bad):
    with pytest.raises(EnvError, match=r"'action' of env [01] is not one-hot: \["):
        gate(spaces.Discrete(2), one_hot=True)(torch.tensor(bad))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (1, 2)])
def test_another_shape_is_refused(shape):
    with pytest.raises(EnvError, match=r"'action' has the shape .*\n   They take \[2\]: one row for each environment"):
        gate(spaces.Discrete(2))(np.zeros(shape, np.int64))


@pytest.mark.parametrize("form", [torch.tensor, np.array])
def test_scores_in_place_of_an_index(form):
    with pytest.raises(SpecError, match="it has another dtype"):
        gate(spaces.Discrete(2))(form([0.2, 0.8]))


def test_spaces_that_cannot_be_acted_in():
    with pytest.raises(UsageError, match=r"cannot take actions of the space Text[\s\S]*TransformAction"):
        gate(spaces.Text(3))
    with pytest.raises(UsageError, match=r"one-hot actions \(one_hot=True\) for Box"):
        gate(BOX, one_hot=True)


@pytest.mark.parametrize(
    ("several", "one"),
    [
        (spaces.Dict({"arm": BOX, "hand": spaces.Box(0, 1, (3,))}), spaces.Box),
        (spaces.Dict({"turn": spaces.Discrete(3), "jump": spaces.Discrete(2, start=5)}), spaces.MultiDiscrete),
        (spaces.Tuple((spaces.Discrete(3), spaces.Discrete(2))), spaces.MultiDiscrete),
    ],
    ids=["boxes", "choices", "a tuple of choices"],
)
def test_what_to_type_for_several_actions_works(several, one, nested):
    with pytest.raises(UsageError) as caught:
        GymEnv(lambda: nested(several))
    head, takes, fix = str(caught.value).split("\n")
    assert head == f"GymEnv cannot take actions of the space {several}."
    assert takes == "   It takes those of Box, Discrete, MultiDiscrete, MultiBinary."
    start = "   Wrap the environment so that it takes one: "
    assert fix.startswith(start)
    assert fix.endswith(").")
    env = nested(several)
    wrapped = eval(fix.removeprefix(start)[:-1], {"gymnasium": gymnasium, "spaces": spaces, "env": env})
    assert isinstance(wrapped.action_space, one)
    with GymEnv(wrapped, seed=0) as running:
        for _ in range(2):
            running.rollout(5)
            assert several.contains(env.taken)


def test_a_mixture_of_actions_has_no_ready_wrapper():
    with pytest.raises(UsageError, match=r"takes one: gymnasium.wrappers.TransformAction\(env, lambda a: ..., ...\)."):
        gate(spaces.Dict({"turn": spaces.Discrete(3), "arm": BOX}))
