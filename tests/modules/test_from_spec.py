"""Policies and critics from specs: whatever the specs are, the action is inside, scored, and learned from."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from keywork._errors import SpecError
from keywork.distributions import (
    Bernoulli,
    Delta,
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    MultiCategorical,
    OneHotCategorical,
    OneHotOrdinal,
    Ordinal,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
)
from keywork.distributions import Categorical as CategoricalDistribution
from keywork.modules import EGreedyModule, NetworkConfig, ProbabilisticActor, QValueActor, ValueOperator
from keywork.nn import TensorDictSequential, set_exploration_type
from keywork.specs import Bounded, Categorical, Composite, MultiBinary, MultiDiscrete, OneHot, Unbounded

SMALL = NetworkConfig(num_cells=(8,))
OBSERVATION = Unbounded((3,))
FLAGS = MultiBinary(4, dtype=torch.bool)


def actor_of(action, observation=OBSERVATION, **options):
    return ProbabilisticActor.from_spec(observation, action, config=options.pop("config", SMALL), **options)


@pytest.mark.parametrize(
    ("spec", "kind", "event"),
    [
        (Categorical(4), CategoricalDistribution, ()),
        (Categorical(4, shape=(2,)), MultiCategorical, (2,)),
        (OneHot(4), OneHotCategorical, (4,)),
        (MultiDiscrete([2, 5]), MultiCategorical, (2,)),
        (MultiDiscrete([[2, 5], [3, 3]]), MultiCategorical, (2, 2)),
        (MultiBinary(3), Bernoulli, (3,)),
        (MultiBinary(()), Bernoulli, ()),
        (MultiBinary((2, 3), dtype=torch.bool), Bernoulli, (2, 3)),
        (Bounded(-2.0, 2.0, (3,)), TanhNormal, (3,)),
        (Bounded([0.0, -1.0], [1.0, 5.0], (2,)), TanhNormal, (2,)),
        (Bounded(-2.0, 2.0, (2, 2), torch.float64), TanhNormal, (2, 2)),
        (Bounded(0.0, 1.0, ()), TanhNormal, ()),
        (Bounded(float("-inf"), float("inf"), (2,)), IndependentNormal, (2,)),
        (Unbounded((3,)), IndependentNormal, (3,)),
        (Unbounded((), torch.float16), IndependentNormal, ()),
        (Unbounded((2, 1)), IndependentNormal, (2, 1)),
    ],
    ids=repr,
)
def test_every_action_has_its_distribution(spec, kind, event):
    for config in (SMALL, NetworkConfig(num_cells=(8,), learned_scale=True)):
        actor = actor_of(spec, config=config)
        td = actor(Composite({"observation": OBSERVATION}).rand((7,)))
        dist = actor.get_dist(td)
        assert type(dist) is kind
        assert (dist.batch_shape, dist.event_shape) == ((7,), event)
        assert spec.is_in(td["action"])
        torch.testing.assert_close(actor.log_prob(td), td["sample_log_prob"], atol=2e-3, rtol=1e-3)
        assert actor.spec == spec


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (Bounded(-2.0, 3.0, (2,)), TruncatedNormal),
        (Bounded(-2.0, 3.0, (2, 2)), TruncatedNormal),
        (Bounded(-2.0, 3.0, (2,)), TanhDelta),
        (Bounded(-2.0, 3.0, ()), TanhDelta),
        (Unbounded((2, 2)), Delta),
        (Categorical(4), Ordinal),
        (OneHot(4), OneHotOrdinal),
    ],
)
def test_another_distribution_may_be_asked_for(spec, kind):
    actor = actor_of(spec, distribution=kind)
    td = actor(Composite({"observation": OBSERVATION}).rand((7,)))
    dist = actor.get_dist(td)
    assert type(dist) is kind and dist.event_shape == spec.shape
    assert spec.is_in(td["action"])


def test_one_without_bounds_may_leave_them_unless_it_is_safe():
    spec = Bounded(-0.1, 0.1, (2,))
    td = Composite({"observation": OBSERVATION}).rand((50,))
    assert not spec.is_in(actor_of(spec, distribution=IndependentNormal)(td.copy())["action"])
    assert spec.is_in(actor_of(spec, distribution=IndependentNormal, safe=True)(td.copy())["action"])


def test_it_begins_without_a_preference_and_with_the_scale_that_was_asked_for():
    observations = torch.randn(50, 3)
    dist = actor_of(Categorical(4)).dist_of(observations)
    torch.testing.assert_close(dist.probs, torch.full((50, 4), 0.25), atol=0.02, rtol=0)
    dist = actor_of(Unbounded((2,))).dist_of(observations)
    torch.testing.assert_close(dist.scale, torch.ones(50, 2), atol=0.1, rtol=0)
    assert not torch.equal(dist.scale[0], dist.scale[1])
    dist = actor_of(Unbounded((2,)), config=NetworkConfig(learned_scale=True)).dist_of(observations)
    assert (dist.scale == 1.0).all()


@pytest.mark.parametrize(
    ("spec", "kind", "choices"),
    [
        (Categorical(4), MaskedCategorical, 4),
        (OneHot(4), MaskedOneHotCategorical, 4),
        (MultiDiscrete([1, 3]), MultiCategorical, 4),
    ],
)
def test_a_mask_is_an_observation_that_the_network_does_not_see(spec, kind, choices):
    observation = Composite({"x": OBSERVATION, ("env", "mask"): MultiBinary(choices, dtype=torch.bool)})
    actor = actor_of(spec, observation, action_mask_key=("env", "mask"))
    assert actor.in_keys == ["x", ("env", "mask")]
    assert actor[0].in_keys == ["x"]
    td = observation.rand((64,))
    td["env", "mask"][:] = torch.tensor([True, False, True, False])
    actor(td)
    assert type(actor.get_dist(td)) is kind
    taken = spec.to_env(td["action"])
    assert set(taken.reshape(64, -1)[:, -1].tolist()) <= (
        {0, 2} if choices == spec.shape.numel() or not spec.shape else {1}
    )
    assert td["sample_log_prob"].isfinite().all()


def test_several_actions_have_a_network_in_common_and_a_head_each():
    actions = Composite(
        {"gear": Categorical(5), ("car", "steer"): Bounded(-3.0, 1.0, (2,)), ("car", "horn"): MultiBinary(1)}
    )
    observations = Composite({"speed": Unbounded(()), ("road", "lane"): Categorical(3)})
    actor = actor_of(actions, observations)
    td = actor(observations.rand((4,)))
    assert actions.is_in(td)
    assert actor.in_keys == ["speed", ("road", "lane")]
    assert actor.dist_sample_keys == list(actions)
    scores = [td[key] for key in actor.log_prob_keys]
    assert all(score.shape == (4,) and score.isfinite().all() for score in scores)
    torch.testing.assert_close(actor.log_prob(td), sum(scores))
    kinds = [type(actor.get_dist(td)[key]) for key in actions]
    assert kinds == [CategoricalDistribution, TanhNormal, Bernoulli]


def test_several_actions_with_a_distribution_or_a_mask_for_some():
    actions = Composite({"a": Categorical(4), "b": Bounded(-1.0, 1.0, (1,)), "c": Unbounded((1,))})
    observations = Composite({"x": OBSERVATION, "mask": FLAGS})
    actor = actor_of(actions, observations, action_mask_key={"a": "mask"}, distribution={"b": TruncatedNormal})
    td = observations.rand((64,))
    td["mask"][:] = torch.tensor([False, True, False, False])
    assert (actor(td)["a"] == 1).all()
    assert type(actor.get_dist(td)["b"]) is TruncatedNormal
    with pytest.raises(SpecError) as error:
        actor_of(actions, observations, distribution=TruncatedNormal)
    assert "distribution does not say for which action it is." in str(error.value)
    assert "expected: a dict with keys among 'a', 'b', 'c'" in str(error.value)
    with pytest.raises(SpecError, match=r"did you mean \('car', 'gear'\)"):
        two = Composite({("car", "gear"): Categorical(2), ("car", "horn"): Categorical(2)})
        actor_of(two, distribution={("car", "gaer"): Ordinal})


def test_the_parameters_of_a_nested_action_are_beside_it():
    actor = actor_of({("agents", "action"): Categorical(2)})
    assert actor.out_keys == [("agents", "logits"), ("agents", "action"), ("agents", "sample_log_prob")]


def whole(low, high):
    return Bounded(low, high, (2,), torch.int64)


@pytest.mark.parametrize(
    ("action", "options", "words"),
    [
        (whole(0, 3), {}, ["there is no distribution for such actions.", "MultiDiscrete(nvec, start=low)"]),
        (Unbounded((2,), torch.int64), {}, ["there is no distribution for such actions."]),
        (Bounded(0.0, float("inf"), (2,)), {}, ["is not bounded on both sides", "distribution=IndependentNormal"]),
        (Bounded(1.0, 1.0, (2,)), {}, ["its bounds leave it no room"]),
        (Bounded([0.0, float("-inf")], float("inf"), (2,)), {"distribution": TruncatedNormal}, ["not bounded on both"]),
        (Categorical(3), {"distribution": TanhNormal}, ["TanhNormal is no distribution of such actions", "logits"]),
        (Unbounded((3,)), {"distribution": CategoricalDistribution}, ["Categorical is no distribution", "loc, scale"]),
        (MultiDiscrete([2, 3]), {"distribution": CategoricalDistribution}, ["takes logits, nvec, shape"]),
        (MultiBinary(3), {"distribution": TanhNormal}, ["TanhNormal is no distribution of such actions"]),
        (MultiBinary(4), {"action_mask_key": "mask"}, ["such actions with a mask", "leave action_mask_key out"]),
        (Unbounded((4,)), {"action_mask_key": "mask"}, ["such actions with a mask"]),
        (Categorical(3), {"action_mask_key": "mask"}, ["'mask' is no mask of its action", "3 flag(s)"]),
        (Categorical(4), {"action_mask_key": "maks"}, ["'maks' is no mask of its action", "did you mean 'mask'?"]),
        (Categorical(4), {"action_mask_key": "mask", "distribution": Ordinal}, ["Ordinal is no distribution", "mask"]),
        ({}, {}, ["a spec has no entry"]),
    ],
)
def test_what_cannot_be_built(action, options, words):
    with pytest.raises(SpecError) as error:
        actor_of(action, Composite({"x": OBSERVATION, "mask": FLAGS}), **options)
    message = str(error.value)
    assert message.startswith("ProbabilisticActor cannot be built: ")
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == ["where", "expected", "got", "fix"]
    assert all(word in message for word in words), message


SIZES = st.lists(st.integers(1, 3), max_size=2)
CHOICES = st.one_of(
    st.builds(Categorical, st.integers(1, 4), SIZES, st.sampled_from([torch.int64, torch.int32])),
    st.builds(OneHot, st.integers(1, 4), st.sampled_from([torch.int64, torch.bool, torch.float32])),
    st.lists(st.integers(1, 4), min_size=1, max_size=3).map(MultiDiscrete),
    SIZES.map(MultiBinary),
)
FLOATS = st.sampled_from([torch.float32, torch.float64])
NUMBERS = st.one_of(
    st.builds(Unbounded, SIZES, FLOATS),
    st.builds(
        lambda low, width, shape, dtype: Bounded(low, low + width, shape, dtype),
        st.floats(-50.0, 50.0),
        st.floats(0.01, 100.0),
        SIZES,
        FLOATS,
    ),
)
IMAGES = st.sampled_from([(1, 3, 4), (5, 5, 3), (2, 9, 7)]).map(lambda shape: Bounded(0, 255, shape, torch.uint8))
KEYS = st.sampled_from(["a", "b", ("c", "d"), ("c", "e"), ("f", "g", "h")])
ACTIONS = st.one_of(CHOICES, NUMBERS)


def named(leaves, prefix):
    """One spec without a key, or several with some."""
    many = st.dictionaries(KEYS, leaves, min_size=1, max_size=3)
    return st.one_of(leaves, many.map(lambda specs: Composite({(prefix, key): spec for key, spec in specs.items()})))


@settings(max_examples=60, deadline=None)
@given(
    named(st.one_of(CHOICES, NUMBERS, IMAGES), "seen"),
    named(ACTIONS, "done"),
    st.sampled_from([(), (3,), (2, 3)]),
    st.booleans(),
)
def test_of_any_specs_the_action_is_inside_and_scored_and_every_parameter_learns(seen, done, batch, learned_scale):
    observations = seen if isinstance(seen, Composite) else Composite({"observation": seen})
    actions = done if isinstance(done, Composite) else Composite({"action": done})
    config = NetworkConfig(num_cells=(4,), learned_scale=learned_scale, last_gain=1.0)
    actor = ProbabilisticActor.from_spec(seen, done, config=config)
    td = observations.rand(batch)
    actor(td)
    assert actions.is_in(td)
    scores = [td[key] for key in actor.log_prob_keys]
    assert all(score.shape == batch and score.isfinite().all() for score in scores)
    (actor.log_prob(td).sum() + actor.get_dist(td).entropy().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in actor.parameters())
    twin = ProbabilisticActor.from_spec(seen, done, config=config)
    twin.load_state_dict(actor.state_dict())
    with set_exploration_type("deterministic"):
        first, second = actor(td.copy()), twin(td.copy())
    assert all(torch.equal(first[key], second[key]) for key in actions)
    assert actions.is_in(first)


REPRESENTATIVE = {
    "index": (OBSERVATION, Categorical(4), {}),
    "mask": (Composite({"x": OBSERVATION, "mask": FLAGS}), Categorical(4), {"action_mask_key": "mask"}),
    "numbers": (OBSERVATION, Bounded(-2.0, 2.0, (2,)), {}),
    "several": (
        Composite({"x": Unbounded((2,), torch.float64), ("y", "z"): MultiDiscrete([2, 3])}),
        Composite({"a": MultiDiscrete([2, 3]), ("b", "c"): Bounded(-1.0, 1.0, (2, 2)), "d": MultiBinary(2)}),
        {},
    ),
    "image": (Bounded(0, 255, (12, 12, 3), torch.uint8), MultiBinary(3), {}),
}


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_it_compiles_as_one_graph_and_can_be_copied_and_sent(name):
    seen, done, options = REPRESENTATIVE[name]
    actor = actor_of(done, seen, **options)
    observations = seen if isinstance(seen, Composite) else Composite({"observation": seen})
    td = observations.rand((5,))
    if "mask" in td:
        td["mask"][:] = True
    inputs = actor.read(td)
    torch._dynamo.reset()
    compiled = torch.compile(actor.compute, fullgraph=True, backend="eager")
    assert [x.shape for x in compiled(*inputs)] == [x.shape for x in actor.compute(*inputs)]
    with set_exploration_type("deterministic"):
        expected = actor.compute(*inputs)
        for other in (compiled, copy.deepcopy(actor).compute, pickle.loads(pickle.dumps(actor)).compute):
            for ours, theirs in zip(other(*inputs), expected, strict=True):
                torch.testing.assert_close(ours, theirs)


class TestCritics:
    def test_of_states_and_of_actions(self):
        observations = Composite({"x": Unbounded((2, 2)), ("y", "z"): Categorical(3)})
        critic = ValueOperator.from_spec(observations, config=SMALL)
        assert (critic.in_keys, critic.out_keys) == (["x", ("y", "z")], ["state_value"])
        assert critic(observations.rand((4, 5)))["state_value"].shape == (4, 5, 1)
        actions = Composite({"steer": Bounded(-1.0, 1.0, (2,)), "gear": Categorical(3)})
        critic = ValueOperator.from_spec(observations, actions, config=SMALL)
        assert critic.in_keys == ["x", ("y", "z"), "steer", "gear"]
        td = observations.rand((4,)).update(actions.rand((4,)))
        values = critic(td)["state_action_value"]
        assert values.shape == (4, 1)
        values.sum().backward()
        assert all(parameter.grad is not None for parameter in critic.parameters())
        assert ValueOperator.from_spec(observations, out_keys=["v"]).out_keys == ["v"]

    def test_its_last_layer_has_a_gain_of_one(self):
        weight = ValueOperator.from_spec(OBSERVATION).module[-1].weight
        torch.testing.assert_close(weight @ weight.T, torch.ones(1, 1))


class TestActionValues:
    @pytest.mark.parametrize(
        "spec",
        [Categorical(4), Categorical(4, (2,)), OneHot(4), MultiDiscrete([1, 3]), MultiBinary(4), MultiBinary((2, 2))],
        ids=repr,
    )
    def test_every_discrete_action(self, spec):
        actor = QValueActor.from_spec(OBSERVATION, {("agent", "action"): spec}, config=SMALL)
        td = actor(Composite({"observation": OBSERVATION}).rand((6,)))
        assert spec.is_in(td["agent", "action"])
        assert TensorDictSequential(actor, EGreedyModule(spec, action_key=("agent", "action"))).out_keys

    @pytest.mark.parametrize("dueling", [False, True])
    def test_with_a_mask(self, dueling):
        observations = Composite({"x": OBSERVATION, "mask": FLAGS})
        actor = QValueActor.from_spec(observations, Categorical(4), action_mask_key="mask", dueling=dueling)
        td = observations.rand((6,))
        td["mask"][:] = torch.tensor([False, False, True, False])
        assert (actor(td)["action"] == 2).all()
        assert (actor.in_keys, actor[0].in_keys) == (["x", "mask"], ["x"])
        assert isinstance(actor[0].module, nn.Module)

    @pytest.mark.parametrize(
        ("action", "dueling", "expected"),
        [
            (Unbounded((2,)), False, "one action, Categorical, OneHot, MultiDiscrete or MultiBinary"),
            (MultiBinary(2), True, "one action, Categorical or OneHot"),
            ({"a": Categorical(2), "b": Categorical(2)}, False, "one action, "),
        ],
    )
    def test_other_actions_are_refused(self, action, dueling, expected):
        with pytest.raises(SpecError) as error:
            QValueActor.from_spec(OBSERVATION, action, dueling=dueling)
        assert str(error.value).startswith("QValueActor cannot be built: there are no values of such actions")
        assert f"expected: {expected}" in str(error.value)


def test_what_becomes_of_a_scale_can_be_said():
    config = NetworkConfig(num_cells=(8,), scale_mapping="exp", init="torch")
    actor = ProbabilisticActor.from_spec(Unbounded((3,)), Unbounded((2,)), config=config)
    for parameter in actor.parameters():
        parameter.data.fill_(0.0)
    assert actor.dist_of(torch.zeros(4, 3)).scale.tolist() == [[1.0, 1.0]] * 4  # e^0
