"""The modes of the two libraries, each handed to the other for the length of a call."""

from __future__ import annotations

import pytest
from tensordict.nn.probabilistic import InteractionType, interaction_type, set_interaction_type

from keywork.interop._modes import modes_of_keywork, modes_of_torchrl
from keywork.nn import ExplorationType, exploration_type, recurrent_mode, set_exploration_type, set_recurrent_mode


class TestExplorationType:
    @pytest.mark.parametrize("kind", ExplorationType)
    def test_from_theirs_and_to_theirs(self, kind):
        with set_interaction_type(InteractionType[kind.name]), modes_of_torchrl():
            assert exploration_type() is kind
        with set_exploration_type(kind), modes_of_keywork():
            assert interaction_type() is InteractionType[kind.name]

    def test_where_the_other_has_none_it_stays(self):
        with set_exploration_type("mode"), modes_of_torchrl():
            assert exploration_type() is ExplorationType.MODE
        with set_interaction_type(InteractionType.MEAN), modes_of_keywork():
            assert interaction_type() is InteractionType.MEAN

    def test_nothing_stays_behind_even_after_an_error(self):
        with set_interaction_type(InteractionType.MODE), pytest.raises(KeyError), modes_of_torchrl():
            raise KeyError
        assert exploration_type() is None
        with set_exploration_type("mode"), pytest.raises(KeyError), modes_of_keywork():
            raise KeyError
        assert interaction_type() is None

    def test_what_keywork_does_not_have(self):
        with (
            set_interaction_type(InteractionType.MEDIAN),
            pytest.raises(ValueError, match=r"choose one of RANDOM, MODE, MEAN, DETERMINISTIC"),
            modes_of_torchrl(),
        ):
            pass


class TestRecurrentMode:
    def test_from_theirs_and_to_theirs(self):
        modules = pytest.importorskip("torchrl.modules", reason="needs TorchRL, which `make interop` brings")
        for mode in (True, False):
            with set_recurrent_mode(not mode), modules.set_recurrent_mode(mode), modes_of_torchrl():
                assert recurrent_mode() is mode
            with modules.set_recurrent_mode(not mode), set_recurrent_mode(mode), modes_of_keywork():
                assert modules.recurrent_mode() is mode
        with set_recurrent_mode(True), modes_of_torchrl():
            assert recurrent_mode()
