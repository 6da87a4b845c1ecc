"""Specs to TorchRL's and back."""

from __future__ import annotations

import math

import pytest
import torch
from gymnasium import spaces

from keywork._errors import SpecError
from keywork.interop import spec_from_torchrl, spec_to_torchrl
from keywork.specs import Bounded, Categorical, Composite, MultiBinary, MultiDiscrete, OneHot, Unbounded

torchrl = pytest.importorskip("torchrl", reason="needs TorchRL, which `make interop` brings")

from torchrl import data  # noqa: E402
from torchrl.envs import GymEnv, SerialEnv  # noqa: E402

SPECS = [
    Bounded(-1.0, [1.0, 2.0]),
    Bounded(0, 255, (3, 8, 8), torch.uint8),
    Bounded(-1.0, 1.0, (), torch.float64),
    Bounded(-math.inf, 1.0, (2,)),
    Unbounded(()),
    Unbounded((2, 3), torch.int64),
    Unbounded(2, torch.bfloat16),
    Categorical(3),
    Categorical(3, (2,), torch.int32),
    OneHot(4),
    OneHot(4, torch.bool),
    OneHot(4, torch.float32),
    MultiBinary(3),
    MultiBinary(1, torch.bool),
    MultiBinary((2, 2), torch.float32),
    MultiBinary((), torch.bool),
    MultiDiscrete([2, 5]),
    MultiDiscrete([[2, 5], [3, 3]], torch.int32),
    Composite({}),
    Composite({"observation": Bounded(0.0, 1.0, (4,)), ("agents", "left"): {"action": Categorical(2), "b": OneHot(3)}}),
]


@pytest.mark.parametrize("spec", SPECS, ids=repr)
class TestEverySpec:
    def test_there_and_back_is_the_same(self, spec):
        assert spec_from_torchrl(spec_to_torchrl(spec)) == spec

    def test_both_have_the_same_members(self, spec):
        theirs = spec_to_torchrl(spec)
        assert theirs.is_in(spec.rand())
        assert theirs.expand(5, *theirs.shape).is_in(spec.rand(5))
        if "inf" not in repr(spec):  # between an infinite bound and a finite one theirs draws NaN
            assert spec.is_in(theirs.rand())

    def test_the_batch_of_an_environment_is_taken_off(self, spec):
        theirs = spec_to_torchrl(spec)
        assert spec_from_torchrl(theirs.expand(7, 2, *theirs.shape), batch_dims=2) == spec


def test_shape_dtype_and_kind():
    theirs = spec_to_torchrl(OneHot(4, torch.bool))
    assert type(theirs) is data.OneHot
    assert (theirs.shape, theirs.dtype, theirs.device) == (torch.Size([4]), torch.bool, torch.device("cpu"))
    assert spec_to_torchrl(Bounded(-1.0, [1.0, 2.0])).space.high.tolist() == [1.0, 2.0]
    assert type(spec_to_torchrl(MultiBinary(3))) is data.Binary
    assert type(spec_to_torchrl(MultiDiscrete([2, 5]))) is data.MultiCategorical
    assert type(spec_to_torchrl(MultiDiscrete(3))) is data.Categorical  # without dimensions it is one choice


def test_gymnasium_spaces_will_do():
    theirs = spec_to_torchrl({"a": spaces.Discrete(3, start=1)})
    assert theirs["a"] == data.Categorical(3, shape=())  # which counts from zero, as the tensors do


def test_the_bounds_are_copies():
    spec = Bounded(-1.0, 1.0, (2,))
    spec_to_torchrl(spec).space.high.fill_(9.0)
    assert spec.high.tolist() == [1.0, 1.0]


class TestFromTheirs:
    def test_the_specs_of_an_environment(self):
        env = SerialEnv(2, lambda: GymEnv("CartPole-v1", categorical_action_encoding=True))
        assert spec_from_torchrl(env.observation_spec)["observation"].shape == torch.Size([4])
        assert spec_from_torchrl(env.action_spec_unbatched) == Categorical(2)
        assert spec_from_torchrl(env.action_spec, batch_dims=1) == Categorical(2)
        assert spec_from_torchrl(env.full_done_spec)["terminated"] == MultiBinary(1, torch.bool)
        assert spec_from_torchrl(env.reward_spec_unbatched) == Unbounded(1)

    def test_what_has_another_name_here(self):
        assert spec_from_torchrl(data.Categorical(2, dtype=torch.bool, shape=(1,))) == MultiBinary(1, torch.bool)
        assert spec_from_torchrl(data.Unbounded(3, dtype=torch.uint8)) == Bounded(0, 255, (3,), torch.uint8)
        assert spec_from_torchrl(data.Unbounded(3, dtype=torch.bool)) == MultiBinary(3, torch.bool)

    def test_entries_that_are_none_are_left_out(self):
        theirs = data.Composite(a=data.Categorical(2, shape=(4,)), b=None, shape=(4,))
        assert spec_from_torchrl(theirs) == Composite({"a": Categorical(2)})

    def test_dimensions_of_a_group_inside_belong_to_its_entries(self):
        agents = data.Composite(x=data.Unbounded((4, 3, 2)), shape=(4, 3))
        theirs = data.Composite(agents=agents, shape=(4,))
        assert spec_from_torchrl(theirs)["agents", "x"] == Unbounded((3, 2))

    @pytest.mark.parametrize(
        ("spec", "options", "problem"),
        [
            (data.MultiOneHot([2, 3]), {}, "there is no such spec here"),
            (data.NonTensor(()), {}, "there is no such spec here"),
            (3, {}, "it is no spec of TorchRL"),
            (data.Categorical(2, mask=torch.tensor([True, False])), {}, "it has a mask"),
            (data.OneHot(2, shape=(5, 2)), {}, "it is of several vectors"),
            (data.Unbounded(3), {"batch_dims": 2}, "it has 1 dimensions, less than batch_dims=2"),
            (data.Bounded(0, 1, (0, 3)), {"batch_dims": 1}, "its batch is empty"),
            (
                data.Bounded(torch.zeros(2, 1), torch.tensor([[1.0], [2.0]])),
                {"batch_dims": 1},
                "not the same throughout",
            ),
        ],
    )
    def test_what_cannot_be_converted(self, spec, options, problem):
        with pytest.raises(SpecError, match=problem) as caught:
            spec_from_torchrl(spec, **options)
        what, got, fix = str(caught.value).split("\n")
        assert what.startswith("spec_from_torchrl cannot convert this: ")
        assert got.startswith("  got: ")
        assert fix.startswith("  fix: pass ")
