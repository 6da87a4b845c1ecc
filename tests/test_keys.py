from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywork import _keys
from keywork._keys import (
    argument_name,
    as_key,
    as_keys,
    is_parent,
    leaf,
    listed,
    meant,
    misspelling,
    nearest,
    next_key,
    path_of,
    renamed,
    unique,
    with_leaf,
    with_suffix,
)

names = st.text("abc_1", min_size=1, max_size=4)
nested = st.recursive(names, lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple), max_leaves=5)


class TestAsKey:
    def test_a_string_stays_as_it_is(self):
        assert as_key("action") == "action"

    def test_a_tuple_of_one_is_its_string_and_nested_tuples_are_flattened(self):
        assert as_key(("action",)) == "action"
        assert as_key(((("action",),),)) == "action"
        assert as_key(("agents", ("left", ("action",)))) == ("agents", "left", "action")

    @pytest.mark.parametrize("key", ["", (), ("",), ("a", ""), ((),)])
    def test_an_empty_key_or_part_is_refused(self, key):
        with pytest.raises(TypeError) as caught:
            as_key(key)
        assert str(caught.value) == (
            f"A key is a non-empty string, or a non-empty tuple of such strings for a nested entry; got {key!r}."
        )

    @pytest.mark.parametrize(("key", "part"), [(3, 3), (None, None), (["a"], ["a"]), (("a", 3), 3), (b"a", b"a")])
    def test_what_is_no_string_is_refused_by_its_type(self, key, part):
        with pytest.raises(TypeError) as caught:
            as_key(key)
        assert str(caught.value) == (
            f"A key is a string, or a tuple of strings for a nested entry; got {part!r} of type {type(part).__name__}."
        )

    @given(nested)
    def test_it_is_idempotent(self, key):
        assert as_key(as_key(key)) == as_key(key)

    @given(nested)
    def test_its_path_is_the_same_key(self, key):
        assert as_key(path_of(as_key(key))) == as_key(key)


class TestAsKeys:
    def test_a_string_and_a_tuple_are_one_key_and_a_list_is_several(self):
        assert as_keys("action") == ("action",)
        assert as_keys(("next", "reward")) == (("next", "reward"),)
        assert as_keys(["next", "reward"]) == ("next", "reward")

    def test_order_and_repetition_are_kept(self):
        assert as_keys(["b", "a", "b"]) == ("b", "a", "b")

    def test_nothing_is_no_keys(self):
        assert as_keys(()) == as_keys([]) == ()

    def test_any_iterable_with_an_order_will_do(self):
        assert as_keys(key for key in ("b", ("a",))) == ("b", "a")
        assert as_keys({"b": 1, "a": 2}.keys()) == ("b", "a")

    def test_what_is_no_iterable_is_refused(self):
        with pytest.raises(TypeError) as caught:
            as_keys(3)
        assert str(caught.value) == "Keys are one key or a list of keys, in order; got 3 of type int."


class TestParts:
    def test_leaf_sibling_and_suffix(self):
        assert (leaf("action"), leaf(("agents", "action"))) == ("action", "action")
        assert with_leaf("action", "logits") == "logits"
        assert with_leaf(("agents", "action"), "logits") == ("agents", "logits")
        assert with_suffix(("agents", "action"), "_log_prob") == ("agents", "action_log_prob")

    def test_the_next_key_is_the_same_entry_under_next(self):
        assert next_key("reward") == ("next", "reward")
        assert next_key(("agents", "reward")) == ("next", "agents", "reward")

    def test_the_argument_name_joins_the_parts(self):
        assert argument_name("action") == "action"
        assert argument_name(("next", "agents", "reward")) == "next_agents_reward"
        assert argument_name(("next", "reward"), separator=".") == "next.reward"

    def test_unique_keeps_the_first_occurrence(self):
        assert unique(["b", "a", ("b",), "b", "a"]) == ("b", "a", ("b",))


class TestIsParent:
    @pytest.mark.parametrize(
        ("parent", "child", "expected"),
        [
            ("next", ("next", "reward"), True),
            (("next",), ("next", "reward"), True),
            (("next", "agents"), ("next", "agents", "reward"), True),
            ("next", ("next", "agents", "reward"), True),
            ("next", "next", False),
            (("next", "reward"), "next", False),
            ("nex", ("next", "reward"), False),
            ("reward", ("next", "reward"), False),
        ],
    )
    def test_a_parent_is_a_proper_prefix(self, parent, child, expected):
        assert is_parent(parent, child) is expected


class TestRenamed:
    def test_the_key_itself_or_a_parent_of_it(self):
        assert renamed("a", {"a": "b"}) == "b"
        assert renamed(("agents", "action"), {"agents": "robots"}) == ("robots", "action")
        assert renamed(("agents", "action"), {"agents": ("all", "robots")}) == ("all", "robots", "action")
        assert renamed(("agents", "left", "action"), {("agents", "left"): "left"}) == ("left", "action")

    def test_the_name_of_the_key_itself_goes_before_that_of_a_parent(self):
        assert renamed(("agents", "action"), {"agents": "robots", ("agents", "action"): "move"}) == "move"

    def test_other_keys_are_left_alone(self):
        assert renamed("agent", {"agents": "robots"}) == "agent"

    def test_the_nearest_parent_decides(self):
        names = {"agents": "robots", ("agents", "left"): "lefty"}
        assert renamed(("agents", "left", "action"), names) == ("lefty", "action")
        assert renamed(("agents", "right", "action"), names) == ("robots", "right", "action")

    def test_the_entry_of_the_next_step_goes_along(self):
        assert renamed(("next", "h"), {"h": "s"}) == ("next", "s")
        assert renamed(("next", "agents", "h"), {"agents": ("all", "robots")}) == ("next", "all", "robots", "h")
        assert renamed(("next", "h"), {"h": "s", ("next", "h"): ("next", "t")}) == ("next", "t")
        assert renamed(("next", "h"), {"next": "later", "h": "s"}) == ("later", "h")


class TestSuggestions:
    def test_the_nearest_candidate(self):
        assert nearest("hidden", ["observation", "hiden"]) == "hiden"
        assert nearest(("next", "reward"), [("next", "rewards"), "reward"]) == ("next", "rewards")
        assert nearest(("next", "state"), [("next", "truncated"), ("next",), ("next", "state", "x")]) is None
        assert nearest("state_value", ["observation", "action"]) is None

    def test_a_key_is_not_its_own_misspelling(self):
        assert nearest("hidden", ["hidden"]) is None

    def test_of_equally_near_candidates_the_choice_is_stable(self):
        assert nearest("hiddn", ["hidden", "hiddena"]) == "hidden"

    def test_a_misspelling_differs_in_one_part_and_not_in_digits_alone(self):
        assert misspelling("hidden", ["hiden"]) == "hiden"
        assert misspelling("head_1", ["head_2"]) is None
        assert misspelling("layer10", ["layer1"]) is None
        assert misspelling("h", [("next", "h")]) is None
        # Alike only as far as the group around both goes.
        assert misspelling(("group", "observation"), [("group", "action")]) is None
        assert misspelling(("agents", "action"), [("agnts", "acton")]) is None
        assert misspelling(("agents", "action"), [("agents", "acton")]) == ("agents", "acton")

    def test_the_words_of_a_message(self):
        assert meant("hidden", ["hiden"]) == "did you mean 'hiden'? "
        assert meant("hidden", ["xyz"]) == ""
        assert listed(["a", ("next", "b")]) == "'a', ('next', 'b')"
        assert listed([]) == "nothing"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *[
            (name, name.lower())
            for name in ("NEXT", "OBSERVATION", "ACTION", "REWARD", "DONE", "TERMINATED", "TRUNCATED")
        ],
        *[(name, name.lower()) for name in ("IS_INIT", "LOC", "SCALE", "LOGITS", "ADVANTAGE", "VALUE_TARGET")],
        *[(name, name.lower()) for name in ("STATE_VALUE", "STATE_ACTION_VALUE", "SAMPLE_LOG_PROB")],
        ("SINK", "_"),
    ],
)
def test_the_well_known_keys_have_the_names_of_the_field(name, key):
    assert getattr(_keys, name) == key


@pytest.mark.parametrize("keys", [{"a", "b"}, frozenset({"a"}), 3, None])
def test_keys_without_an_order_are_no_list_of_keys(keys):
    with pytest.raises(TypeError, match="one key or a list of keys, in order"):
        as_keys(keys)
