from __future__ import annotations

import enum
import threading

import pytest
from tensordict.nn import InteractionType

from keywork._modes import Modes
from keywork.nn import ExplorationType, exploration_type, recurrent_mode, set_exploration_type, set_recurrent_mode


class Foreign(enum.Enum):
    RANDOM = 7
    MODE = 8
    MEDIAN = 9


class Shouting(str, enum.Enum):  # noqa: UP042 (its str() is no value of it)
    MEAN = "somewhere in the middle"


class TestOf:
    def test_the_members(self):
        assert [kind.name for kind in ExplorationType] == ["RANDOM", "MODE", "MEAN", "DETERMINISTIC"]

    @pytest.mark.parametrize(
        "kind", [ExplorationType.MEAN, "mean", "MEAN", "Mean", InteractionType.MEAN, Shouting.MEAN]
    )
    def test_a_member_a_name_in_any_case_and_another_librarys_member(self, kind):
        assert ExplorationType.of(kind) is ExplorationType.MEAN

    def test_another_librarys_member_counts_by_its_name_and_not_by_its_value(self):
        assert ExplorationType.of(Foreign.MODE) is ExplorationType.MODE

    @pytest.mark.parametrize("kind", ["wild", "", None, 3, True, Foreign.MEDIAN, InteractionType.MEDIAN])
    def test_anything_else_is_refused_with_the_choices(self, kind):
        with pytest.raises(ValueError) as caught:
            ExplorationType.of(kind)
        assert str(caught.value) == (
            f"There is no exploration type {kind!r}: choose one of RANDOM, MODE, MEAN, DETERMINISTIC."
        )

    def test_it_is_its_own_string(self):
        assert ExplorationType.RANDOM == "random"
        assert f"{ExplorationType.DETERMINISTIC}" == "deterministic"


class TestContext:
    def test_outside_of_any_there_is_none(self):
        assert exploration_type() is None

    def test_it_is_set_inside_and_restored_after(self):
        with set_exploration_type(ExplorationType.MODE):
            assert exploration_type() is ExplorationType.MODE
        assert exploration_type() is None

    def test_the_default_is_deterministic(self):
        with set_exploration_type():
            assert exploration_type() is ExplorationType.DETERMINISTIC

    def test_nested_use_restores_the_outer_type(self):
        with set_exploration_type("mode"):
            with set_exploration_type("random"):
                with set_exploration_type("mode"):
                    assert exploration_type() is ExplorationType.MODE
                assert exploration_type() is ExplorationType.RANDOM
            assert exploration_type() is ExplorationType.MODE
        assert exploration_type() is None

    def test_an_exception_restores_too_and_passes(self):
        with set_exploration_type("mode"):
            with pytest.raises(ZeroDivisionError), set_exploration_type("random"):
                1 / 0  # noqa: B018
            assert exploration_type() is ExplorationType.MODE
        assert exploration_type() is None

    def test_a_bad_name_is_refused_and_changes_nothing(self):
        with set_exploration_type("mode"):
            with pytest.raises(ValueError, match="There is no exploration type 'wild'"), set_exploration_type("wild"):
                pytest.fail("the body ran")
            assert exploration_type() is ExplorationType.MODE


class TestDecorator:
    def test_it_holds_for_each_call_and_is_restored_after(self):
        @set_exploration_type("mean")
        def which():
            return exploration_type()

        assert [which() for _ in range(3)] == [ExplorationType.MEAN] * 3
        assert exploration_type() is None

    def test_it_may_be_entered_again_from_within(self):
        @set_exploration_type("mean")
        def descend(depth):
            if depth == 0:
                return [exploration_type()]
            with set_exploration_type("random"):
                inner = descend(depth - 1)
            return [*inner, exploration_type()]

        assert descend(3) == [ExplorationType.MEAN] * 4
        assert exploration_type() is None

    def test_an_exception_restores(self):
        @set_exploration_type("mean")
        def fail():
            raise KeyError("x")

        with pytest.raises(KeyError):
            fail()
        assert exploration_type() is None

    def test_a_bad_name_is_refused_where_it_stands_and_not_only_when_it_is_used(self):
        with pytest.raises(ValueError, match="There is no exploration type 'wild'"):
            set_exploration_type("wild")

    def test_the_name_and_the_arguments_of_the_function_are_kept(self):
        @set_exploration_type("mean")
        def add(a, *, b):
            return a + b

        assert (add.__name__, add(1, b=2)) == ("add", 3)


def test_threads_do_not_see_each_others_type():
    seen, ready, go = {}, threading.Barrier(3, timeout=10), threading.Barrier(3, timeout=10)

    def look(name, kind):
        if kind is None:
            ready.wait()
            seen[name] = [exploration_type()]
        else:
            with set_exploration_type(kind):
                ready.wait()  # all three are inside at once
                seen[name] = [exploration_type()]
        go.wait()
        seen[name].append(exploration_type())

    with set_exploration_type("deterministic"):
        threads = [threading.Thread(target=look, args=(str(kind), kind)) for kind in ("random", "mode", None)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=10)
        assert exploration_type() is ExplorationType.DETERMINISTIC
    assert seen == {
        "random": [ExplorationType.RANDOM, None],
        "mode": [ExplorationType.MODE, None],
        "None": [None, None],  # what a thread starts with is not what its maker has set
    }


def test_recurrent_mode_is_steps_outside_of_any_context():
    assert recurrent_mode() is False


def test_recurrent_modes_nest_and_restore_also_after_an_exception():
    with set_recurrent_mode():
        assert recurrent_mode() is True
        with pytest.raises(KeyError), set_recurrent_mode(False):
            assert recurrent_mode() is False
            raise KeyError
        assert recurrent_mode() is True
    assert recurrent_mode() is False


def test_recurrent_mode_is_a_decorator_too():
    @set_recurrent_mode(True)
    def mode():
        return recurrent_mode()

    assert mode() is True
    assert recurrent_mode() is False


def test_both_modes_together_nest_and_restore_also_after_an_exception():
    assert (exploration_type(), recurrent_mode()) == (None, False)
    with set_exploration_type("mean"), set_recurrent_mode():
        with pytest.raises(KeyError), Modes(ExplorationType.MODE, recurrent=False):
            assert (exploration_type(), recurrent_mode()) == (ExplorationType.MODE, False)
            with Modes(ExplorationType.RANDOM, recurrent=True), set_exploration_type("deterministic"):
                assert (exploration_type(), recurrent_mode()) == (ExplorationType.DETERMINISTIC, True)
            assert (exploration_type(), recurrent_mode()) == (ExplorationType.MODE, False)
            raise KeyError
        assert (exploration_type(), recurrent_mode()) == (ExplorationType.MEAN, True)
    assert (exploration_type(), recurrent_mode()) == (None, False)


def test_threads_do_not_see_each_others_recurrent_mode():
    seen = []
    with set_recurrent_mode(True):
        thread = threading.Thread(target=lambda: seen.append(recurrent_mode()))
        thread.start()
        thread.join()
    assert seen == [False]


@pytest.mark.parametrize("mode", ["sequential", None, 1])
def test_anything_but_a_bool_for_a_recurrent_mode_is_refused(mode):
    with pytest.raises(TypeError) as error, set_recurrent_mode(mode):
        pass
    assert str(error.value) == f"set_recurrent_mode takes True for sequences or False for steps; got {mode!r}."
