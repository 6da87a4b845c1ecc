"""Shapes, types and domains are those that running the modules gives, and finding them out leaves no trace."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork import distributions as d
from keywork.envs import GymEnv
from keywork.flow import Flow, Holding
from keywork.nn import ProbabilisticTensorDictModule, TensorDictModule, TensorDictModuleBase, TensorDictSequential
from keywork.specs import Bounded, Categorical, Composite, OneHot, Unbounded


def holds(flow, key):
    return flow[key].holds


def wrapped(function, reads=("x",), writes=("y",)):
    return TensorDictModule(function, list(reads), list(writes))


SOURCE = {"x": Unbounded(4)}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (nn.Linear(4, 3), Holding((3,), "float32")),
        (nn.Linear(4, 3).double().to(torch.float32), Holding((3,), "float32")),
        (lambda x: x.argmax(-1), Holding((), "int64")),
        (lambda x: x.reshape(*x.shape[:-1], 2, 2) > 0, Holding((2, 2), "bool")),
        (lambda x: x.mean(), Holding((), "float32", batched=False)),
        (lambda x: x.sum((0, 1)), Holding((4,), "float32", batched=False)),
        (lambda x: x.half(), Holding((4,), "float16")),
    ],
)
def test_what_a_module_writes_is_what_running_it_gives(function, expected):
    assert holds(Flow(SOURCE, wrapped(function)), "y") == expected


def test_convolutions_flatten_and_lazy_layers_are_run_through_and_lazy_ones_stay_lazy():
    lazy = nn.LazyLinear(5)

    class OfSequences(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), lazy)

        def forward(self, x):
            return self.net(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    flow = Flow({"x": Unbounded((3, 8, 8))}, wrapped(OfSequences()))
    assert holds(flow, "y") == Holding((5,), "float32")
    assert isinstance(lazy.weight, nn.UninitializedParameter)
    assert flow.graph.notes == ()


def test_a_module_that_looks_at_values_runs_on_zeros():
    def branching(x):
        return x if float(x.sum()) > 0 else torch.cat((x, x), -1)

    assert holds(Flow(SOURCE, wrapped(branching)), "y") == Holding((8,), "float32")


def test_what_cannot_be_run_at_all_is_a_note_and_what_follows_from_it_unknown():
    def broken(x):
        raise ValueError("this never works\nsecond line")

    flow = Flow(SOURCE, wrapped(broken), wrapped(torch.tanh, ["y"], ["z"]))
    assert holds(flow, "y") == holds(flow, "z") == Holding()
    assert flow.graph.notes == ("what broken writes is not known: ValueError: this never works",)


def test_a_network_for_one_batch_dimension_is_run_with_one():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 5))
    flow = Flow({"x": Bounded(0, 1, (3, 8, 8))}, wrapped(net), wrapped(torch.tanh, ["y"], ["z"]))
    assert holds(flow, "y") == holds(flow, "z") == Holding((5,), "float32")
    assert flow.graph.notes == ()


def test_a_network_for_another_batch_is_a_note():
    net = nn.Sequential(nn.Flatten(0, 1), nn.Linear(4, 2), nn.Unflatten(0, (2, 3)))
    flow = Flow(SOURCE, wrapped(net))
    assert holds(flow, "y") == Holding()
    assert flow.graph.notes == (
        "what Sequential writes is not known: RuntimeError: unflatten: Provided sizes [2, 3] don't multiply up to the "
        "size of dim 0 (35) in the input tensor",
    )


class Opaque(TensorDictModuleBase):
    """Overrides forward: called on a TensorDict."""

    in_keys = ["x"]
    out_keys = ["y"]

    def forward(self, td):
        return td.set("y", td["x"][..., :2])


class Foreign(nn.Module):
    """Of another library: has keys, and is called on a TensorDict."""

    in_keys = ("x",)
    out_keys = ("y",)

    def forward(self, td):
        return td.set("y", td["x"].long())


def test_modules_that_are_called_on_a_tensordict_are_too():
    assert holds(Flow(SOURCE, Opaque()), "y") == Holding((2,), "float32")
    assert holds(Flow(SOURCE, Foreign()), "y") == Holding((4,), "int64")


def test_absent_optional_entries_are_none():
    def either(x, extra=None):
        return x if extra is None else extra

    module = TensorDictModule(either, ["x", "extra"], ["y"], optional_keys=["extra"])
    assert holds(Flow(SOURCE, module), "y").shape == (4,)
    assert holds(Flow({**SOURCE, "extra": Unbounded(7)}, module), "y").shape == (7,)


class Counting(nn.Module):
    """Changes itself whenever it is called, in every way there is."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("calls", torch.zeros(()))
        self.weight = nn.Parameter(torch.ones(4))
        self.generator = torch.Generator().manual_seed(1)
        self.log = []

    def forward(self, x):
        self.calls = self.calls + 1
        self.log.append(x.shape)
        with torch.no_grad():
            self.weight.mul_(2)
        noise = torch.randn(4) + torch.randn(4, generator=self.generator) + random.random() + np.random.rand()
        return self.norm((x * self.weight).flatten(0, 1)).unflatten(0, x.shape[:2]) + noise


class CountingAndLooking(Counting):
    """The same for a module that runs on zeros."""

    def forward(self, x):
        assert float(x.sum()) == 0
        return super().forward(x)


@pytest.mark.parametrize("kind", [Counting, CountingAndLooking])
def test_parameters_buffers_attributes_and_random_state_stay_as_they_are(kind):
    module = kind()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy(), module.generator.get_state()
    flow = Flow(SOURCE, wrapped(module))
    assert holds(flow, "y") == Holding((4,), "float32")
    after = module.state_dict()
    assert list(after) == list(before)
    for name, value in before.items():
        assert torch.equal(after[name], value), name
        assert type(after[name]) is torch.Tensor
    assert module.log == []
    assert module.weight.grad is None
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()
    assert torch.equal(module.generator.get_state(), states[3])


def test_a_policys_parameters_are_the_same_objects_afterwards():
    policy = TensorDictSequential(wrapped(nn.Linear(4, 3)), wrapped(nn.Linear(3, 2), ["y"], ["z"]))
    before = list(policy.parameters())
    Flow(SOURCE, policy)
    assert all(one is other for one, other in zip(policy.parameters(), before, strict=True))


def test_inferred_entries_are_those_of_a_real_call():
    policy = TensorDictSequential(
        wrapped(nn.Linear(4, 6), ["x"], ["hidden"]),
        TensorDictModule(d.NormalParamExtractor(), ["hidden"], ["loc", "scale"]),
        ProbabilisticTensorDictModule(
            ["loc", "scale"], ["action"], distribution_class=d.TanhNormal, return_log_prob=True
        ),
    )
    flow = Flow(SOURCE, policy)
    td = policy(TensorDict(x=torch.zeros(5, 4), batch_size=[5]))
    for key in ("hidden", "loc", "scale", "action", "sample_log_prob"):
        assert holds(flow, key).shape == tuple(td[key].shape[1:])
        assert holds(flow, key).dtype == str(td[key].dtype).removeprefix("torch.")


@pytest.mark.parametrize(
    ("distribution", "kwargs", "param", "expected"),
    [
        (d.TanhNormal, {"low": -2.0, "high": 2.0}, 2, "[-2, 2]"),
        (d.Categorical, {}, 5, "{0..4}"),
        (d.OneHotCategorical, {}, 5, "one-hot 5"),
        (d.IndependentNormal, {}, 2, "real"),
        (torch.distributions.Categorical, {}, 5, "{0..4}"),
    ],
)
def test_the_domain_of_an_action_is_its_distributions_support(distribution, kwargs, param, expected):
    continuous = distribution in (d.TanhNormal, d.IndependentNormal)
    given = (
        {"loc": Unbounded(param), "scale": Bounded(0.1, 1.0, (param,))} if continuous else {"logits": Unbounded(param)}
    )
    head = ProbabilisticTensorDictModule(
        list(given), ["action"], distribution_class=distribution, distribution_kwargs=kwargs
    )
    assert holds(Flow(given, head), "action").domain == expected


def test_so_is_that_of_each_of_several():
    head = ProbabilisticTensorDictModule(
        {"x": {"loc": "loc", "scale": "loc"}, ("arm", "k"): {"logits": "logits"}},
        distribution_class={"x": d.TanhNormal, ("arm", "k"): d.Categorical},
        distribution_kwargs={"x": {"low": -2.0, "high": 2.0}},
    )
    flow = Flow(Composite({"loc": Unbounded((2,)), "logits": Unbounded((5,))}), head)
    assert (holds(flow, "x").domain, holds(flow, ("arm", "k")).domain) == ("[-2, 2]", "{0..4}")
    assert holds(flow, ("arm", "k")).shape == ()


class WithSpec(TensorDictModuleBase):
    """Says what it writes."""

    def __init__(self, spec, out_keys):
        super().__init__(["x"], out_keys)
        self.spec = spec

    def compute(self, x):
        return tuple(x[..., 0] for _ in self.out_keys)


def test_a_modules_spec_is_its_outputs_domain():
    assert holds(Flow(SOURCE, WithSpec(Categorical(3), ["y"])), "y").domain == "{0..2}"
    flow = Flow(SOURCE, WithSpec(Composite({"b": OneHot(3)}), ["a", "b"]))
    assert (holds(flow, "a").domain, holds(flow, "b").domain) == ("", "one-hot 3")


def test_an_env_provides_its_own_specs_and_lends_its_actions_domain():
    with GymEnv("Pendulum-v1") as env:
        flow = Flow(env, wrapped(nn.Linear(3, 1), ["observation"], ["action"]))
    assert holds(flow, "action") == Holding((1,), "float32", "[-2, 2]")
    assert holds(flow, ("next", "reward")) == Holding((1,), "float32", "real")
    assert holds(flow, "is_init") == Holding((1,), "bool", "bool")
