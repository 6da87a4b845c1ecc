import copy
import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict

from keywork._errors import MissingKeyError, SpecError
from keywork._keys import is_parent, path_of
from keywork.specs import Bounded, Categorical, Composite, OneHot, Unbounded, as_spec

LEAVES = [Unbounded(2), Bounded(-1, 1, ()), Categorical(3, start=1), OneHot(2), Bounded(0, 9, 3, torch.uint8)]
NAMES = st.sampled_from("abc")
KEYS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: parts[0] if len(parts) == 1 else tuple(parts))


def disjoint(keys) -> bool:
    return not any(is_parent(a, b) for a in keys for b in keys)


CONTENTS = st.dictionaries(KEYS, st.sampled_from(LEAVES), max_size=5).filter(disjoint)


@pytest.fixture
def spec() -> Composite:
    return Composite({"observation": Unbounded(4), ("agents", "action"): Categorical(2), "flag": Bounded(0, 1)})


@given(CONTENTS)
def test_it_holds_what_it_was_given_in_order_of_the_first_part(contents):
    spec = Composite(contents)
    assert set(spec.keys()) == set(contents)
    assert dict(spec.items()) == contents
    assert len(spec) == len(spec.values()) == len(contents)
    assert list(spec) == list(spec.keys())
    heads = [path_of(key)[0] for key in spec]
    assert list(dict.fromkeys(heads)) == list(dict.fromkeys(path_of(key)[0] for key in contents))
    for key, leaf in contents.items():
        assert spec[key] is leaf
        assert key in spec
        for depth in range(1, len(path_of(key))):
            parent = path_of(key)[:depth]
            assert spec[parent][path_of(key)[depth:]] is leaf
            assert parent in spec


@given(CONTENTS, st.randoms(use_true_random=False))
def test_equality_does_not_look_at_the_order(contents, random):
    shuffled = list(contents.items())
    random.shuffle(shuffled)
    spec, other = Composite(contents), Composite(dict(shuffled))
    assert spec == other
    assert hash(spec) == hash(other)
    for twin in (pickle.loads(pickle.dumps(spec)), copy.deepcopy(spec), spec.to("cpu")):
        assert twin == spec
        assert twin.keys() == spec.keys()
        assert hash(twin) == hash(spec)
    if contents:
        assert spec != spec.updated({next(iter(contents)): Unbounded(77)})


@given(CONTENTS, st.sampled_from([(), (3,), (2, 0), 4]))
def test_random_and_zero_tensordicts_are_members(contents, batch):
    spec = Composite(contents)
    for data in (spec.rand(batch), spec.zero(batch)):
        assert isinstance(data, TensorDict)
        assert data.batch_size == torch.Size([4] if batch == 4 else batch)
        assert spec.is_in(data)
        assert spec.validate(data) is data
        assert set(data.keys(include_nested=True, leaves_only=True)) == set(contents)
        assert all(torch.equal(spec.project(data)[key], data[key]) for key in contents)


@given(CONTENTS.filter(bool), st.sampled_from([(), (3,)]))
def test_the_environments_form_comes_back(contents, batch):
    spec = Composite(contents)
    data = spec.rand(batch)
    form = spec.to_env(data)
    back = spec.encode(form)
    assert back.batch_size == data.batch_size
    assert all(torch.equal(back[key], data[key]) for key in contents)
    if batch == ():
        assert spec.to_gymnasium().contains(form)


def test_a_generator_is_for_all_entries(spec):
    before = torch.get_rng_state()
    first, second = (spec.rand(5, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert bool((first == second).all())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_parent_is_a_composite_of_what_lies_in_it(spec):
    assert spec["agents"] == Composite({"action": Categorical(2)})
    assert spec[("agents",)] == spec["agents"]
    assert "agents" in spec
    assert ("agents", "observation") not in spec
    assert ("observation", "x") not in spec
    assert spec.get("nothing") is None
    assert spec.get(("observation", "x"), spec) is spec


def test_spaces_and_mappings_are_accepted_as_entries():
    spec = Composite({"a": spaces.Discrete(2), "b": {"c": spaces.Box(0, 1, (2,)), "d": Unbounded()}})
    assert spec == Composite({"a": Categorical(2), ("b", "c"): Bounded(0, 1, 2), ("b", "d"): Unbounded()})
    assert as_spec({"a": spaces.Discrete(2)}) == Composite({"a": Categorical(2)})


def test_updated_leaves_the_original_alone(spec):
    more = spec.updated({("agents", "action"): OneHot(2), ("agents", "mask"): Unbounded(1), "new": spaces.Discrete(2)})
    assert more.keys() == ("observation", ("agents", "action"), ("agents", "mask"), "flag", "new")
    assert more["agents", "action"] == OneHot(2)
    assert spec.keys() == ("observation", ("agents", "action"), "flag")
    assert spec["agents", "action"] == Categorical(2)
    assert spec.updated({}) == spec
    assert spec.updated({"agents": Unbounded(1)}).keys() == ("observation", "agents", "flag")


def test_a_tuple_stays_one():
    spec = as_spec((Categorical(2), Unbounded(1)))
    assert spec.keys() == ("0", "1")
    assert spec.to_env(spec.zero())[0] == 0
    assert isinstance(spec.to_env(spec.zero()), tuple)
    assert isinstance(spec.encode([1, [0.5]]), TensorDict)
    for other in (spec.to("cpu"), spec.updated({"1": Unbounded(1)}), copy.copy(spec)):
        assert other == spec
        assert isinstance(other.to_gymnasium(), spaces.Tuple)
    assert isinstance(spec.updated({"2": Unbounded(1)}).to_gymnasium(), spaces.Tuple)
    assert isinstance(spec.updated({"x": Unbounded(1)}).to_gymnasium(), spaces.Dict)
    assert spec != Composite({"0": Categorical(2), "1": Unbounded(1)})


def test_other_entries_of_a_tensordict_are_left_alone(spec):
    data = spec.rand(3)
    data["extra"] = torch.full((3,), float("nan"))
    assert spec.is_in(data)
    assert spec.project(data)["extra"] is data["extra"]


def test_project_makes_a_shallow_copy():
    spec = Composite({("a", "b"): Bounded(-1, 1, 1), "c": Unbounded(1)})
    data = TensorDict({("a", "b"): torch.tensor([[3.0]]), "c": torch.zeros(1, 1)}, [1])
    result = spec.project(data)
    assert result["a", "b"].tolist() == [[1.0]]
    assert data["a", "b"].tolist() == [[3.0]]
    assert spec.is_in(result)


def test_its_values_may_have_more_batch_dimensions_than_the_tensordict_says(spec):
    data = TensorDict(dict(spec.rand((3, 5)).items()), [3])
    assert spec.is_in(data)


def test_the_batch_dimensions_of_the_tensordict_go_before_the_entrys_own():
    spec = Composite({"reward": Unbounded(1)})
    data = TensorDict({"reward": torch.zeros(1)}, [1])
    assert not spec.is_in(data)
    with pytest.raises(SpecError) as error:
        spec.validate(data)
    assert str(error.value) == (
        "value['reward'] does not fit Unbounded(shape=(1,), dtype=torch.float32): it has too few dimensions.\n"
        "  where: shape\n  expected: (1, 1): the batch size of the TensorDict, then (1,)\n"
        "  got: a float32 tensor of shape (1,)\n  fix: value.unsqueeze(-1) adds a last dimension"
    )


def test_what_is_common_to_all():
    spec = Composite({"a": Unbounded(1), "b": Categorical(2)})
    assert (spec.shape, spec.device, spec.domain) == (torch.Size(()), torch.device("cpu"), "2 entries")
    assert Composite({"a": Unbounded(1)}).domain == "1 entry"
    assert spec.updated({"a": Unbounded(1).to("meta")}).device is None
    assert Composite({}).device is None
    moved = spec.to(torch.float64)
    assert (moved["a"].dtype, moved["b"].dtype) == (torch.float64, torch.int64)
    with pytest.raises(SpecError) as error:
        _ = spec.dtype
    assert str(error.value) == (
        "A Composite has no dtype of its own.\n  where: Composite.dtype\n  expected: the spec of one tensor\n"
        "  got: entries 'a', 'b'\n  fix: composite[key].dtype"
    )


def test_it_shows_its_entries(spec):
    assert repr(spec) == (
        "Composite({\n"
        "    'observation': Unbounded(shape=(4,), dtype=torch.float32),\n"
        "    'agents': Composite({\n"
        "        'action': Categorical(n=2, shape=(), dtype=torch.int64),\n"
        "    }),\n"
        "    'flag': Bounded(low=0.0, high=1.0, shape=(), dtype=torch.float32),\n"
        "})"
    )
    assert repr(Composite([Unbounded(1)])) == "Composite((\n    Unbounded(shape=(1,), dtype=torch.float32),\n))"
    assert repr(Composite({})) == "Composite({})"


def test_a_missing_key_names_the_nearest(spec):
    with pytest.raises(MissingKeyError) as error:
        spec["observatoin"]
    assert str(error.value) == (
        "The spec of 'observatoin' cannot be had: there is no such entry.\n  where: a Composite of 3 entries\n"
        "  expected: one of 'observation', ('agents', 'action'), 'flag'\n  got: 'observatoin'\n"
        "  fix: did you mean 'observation'?"
    )
    with pytest.raises(KeyError) as error:
        spec["reward"]
    assert str(error.value).endswith("fix: composite.updated({key: spec}) adds one")


@pytest.mark.parametrize(
    ("specs", "first", "second"),
    [
        ({"a": Unbounded(1), ("a", "b"): Unbounded(1)}, "a", ("a", "b")),
        ({("a", "b"): Unbounded(1), "a": Unbounded(1)}, ("a", "b"), "a"),
        ({"a": {"c": Unbounded(1)}, ("a", "b"): Unbounded(1)}, "a", ("a", "b")),
        ({("a", ("b",)): Unbounded(1), ("a", "b"): Unbounded(1)}, ("a", "b"), ("a", "b")),
    ],
)
def test_keys_inside_one_another_are_refused(specs, first, second):
    with pytest.raises(SpecError) as error:
        Composite(specs)
    assert str(error.value) == (
        f"Composite cannot be built: {first!r} and {second!r} lie in one another.\n  where: {second!r}\n"
        f"  expected: a key that is an entry, or the parent of entries, and not both\n  got: {first!r} before it\n"
        "  fix: rename one of the two, or put the one spec into the Composite of the other"
    )


def test_a_leaf_gets_no_children(spec):
    with pytest.raises(SpecError, match=r"'observation' and \('observation', 'x'\) lie in one another"):
        spec.updated({("observation", "x"): Unbounded(1)})


def test_the_messages_of_tensordicts(spec):
    good = spec.zero(3)
    hint = "TensorDict(value, batch_size) for tensors, spec.encode(value) for what an environment returned"
    cases = [
        (
            {},
            "data does not fit its Composite: it is no TensorDict.\n  where: data\n"
            "  expected: a TensorDict with 'observation', 'agents', 'flag'\n  got: {} of type dict\n"
            f"  fix: {hint}",
        ),
        (
            good.exclude("observation", "flag").set("flags", torch.zeros(3)),
            "data does not fit its Composite: it lacks 'observation', 'flag'.\n  where: data\n"
            "  expected: a TensorDict with 'observation', 'agents', 'flag'\n"
            "  got: a TensorDict with 'agents', 'flags'\n"
            "  fix: add what is missing, or rename what is meant",
        ),
        (
            good.copy().set("agents", torch.zeros(3)),
            "data['agents'] does not fit its Composite: it is no TensorDict.\n  where: data['agents']\n"
            f"  expected: a TensorDict with 'action'\n  got: a float32 tensor of shape (3,)\n  fix: {hint}",
        ),
        (
            good.copy().set(("agents", "action"), torch.tensor([0, 1, 2])),
            "data['agents']['action'] is not in Categorical(n=2, shape=(), dtype=torch.int64): "
            "1 of 3 elements are outside.\n  where: first at index (2,)\n  expected: {0..1}\n"
            "  got: 2, in an int64 tensor of shape (3,)\n"
            "  fix: spec.project(value) takes the nearest member",
        ),
    ]
    for value, message in cases:
        assert not spec.is_in(value)
        with pytest.raises(SpecError) as error:
            spec.validate(value, "data")
        assert str(error.value) == message


def test_the_other_methods_name_the_entry_too(spec):
    data = spec.zero(3).set("observation", torch.zeros(3, 5))
    for method in (spec.project, spec.to_env):
        with pytest.raises(SpecError, match=r"data\['observation'\] does not fit"):
            method(data, "data")
    with pytest.raises(SpecError, match=r"data\['agents'\]\['action'\] cannot be encoded"):
        spec.encode({"observation": np.zeros(4), "agents": {"action": "left"}, "flag": 0.0}, "data")


def test_the_environment_has_to_return_just_the_entries(spec):
    for value, got in [
        ({"observation": np.zeros(4)}, "a dict of 'observation'"),
        (3, "3 of type int"),
        ([1, 2], "[1, 2] of type list"),
    ]:
        with pytest.raises(SpecError) as error:
            spec.encode(value)
        assert str(error.value) == (
            "value cannot be encoded: it does not have the entries of its spec.\n  where: value\n"
            f"  expected: a dict of 'observation', 'agents', 'flag'\n  got: {got}\n"
            "  fix: compare what the environment returns with its space: gymnasium.utils.env_checker.check_env(env)"
        )
    with pytest.raises(SpecError, match="expected: a tuple of '0', '1'\n  got: a tuple of '0'\n"):
        Composite([Unbounded(1), Unbounded(1)]).encode((np.zeros(1),))


def test_the_batch_dimensions_have_to_agree():
    spec = Composite({"a": Unbounded(2), ("b", "c"): Categorical(2)})
    with pytest.raises(SpecError) as error:
        spec.encode({"a": np.zeros((3, 2)), "b": {"c": np.zeros(4, np.int64)}})
    assert str(error.value) == (
        "value cannot be encoded: its entries have different batch dimensions.\n  where: value\n"
        "  expected: the same dimensions in front of each entry's own\n  got: (3,) at 'a', (4,) at ('b', 'c')\n"
        "  fix: stack as many values of one entry as of the others"
    )


def test_keys_are_strings():
    with pytest.raises(TypeError, match="A key is a string"):
        Composite({1: Unbounded(1)})


def test_entries_may_be_given_by_name():
    spec = Composite(position=Unbounded((3,)), goal=spaces.Discrete(5))
    assert spec == Composite({"position": Unbounded((3,)), "goal": spaces.Discrete(5)})
    nested = Composite({("arm", "angle"): Unbounded((1,))}, goal=spaces.Discrete(5))
    assert nested.keys() == (("arm", "angle"), "goal")
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert Composite().keys() == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"goal": Unbounded((3,))}, "one mapping, and entries of other names"), ([Unbounded((3,))], "one of the two")],
)
def test_entries_that_are_given_twice(given, expected):
    with pytest.raises(SpecError) as error:
        Composite(given, goal=spaces.Discrete(5))
    first, where, asked, got, fix = str(error.value).split("\n")
    assert first == "A Composite cannot be built: these entries do not go together."
    assert (where, asked) == ("  where: specs, and entries by name", f"  expected: {expected}")
    assert got.endswith(", and 'goal'")
    assert fix == "  fix: Composite({'position': spec, 'goal': spec}), or Composite(position=spec, goal=spec)"
