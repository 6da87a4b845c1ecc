"""The exploration type and the recurrent mode, from TorchRL's variables to ours and back, for one call."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tensordict.nn.probabilistic import InteractionType, interaction_type, set_interaction_type

from keywork.nn import exploration_type, recurrent_mode, set_exploration_type, set_recurrent_mode


def _recurrence() -> Any:
    """Where TorchRL keeps its recurrent mode; None as long as nobody has imported it, and so nobody set the mode."""
    return sys.modules.get("torchrl.modules")


@contextmanager
def modes_of_torchrl() -> Iterator[None]:
    """Inside, keywork's modes are TorchRL's. What is not set there stays as it is here.

    Raises:
        ValueError: TorchRL's exploration type is one that keywork does not have (``MEDIAN``).
    """
    theirs, recurrence = interaction_type(), _recurrence()
    sequences = None if recurrence is None else recurrence.recurrent_mode()
    with ExitStack() as stack:
        if theirs is not None:
            stack.enter_context(set_exploration_type(theirs))
        if sequences is not None:
            stack.enter_context(set_recurrent_mode(bool(sequences)))
        yield


@contextmanager
def modes_of_keywork() -> Iterator[None]:
    """Inside, TorchRL's modes are keywork's. Its exploration type stays as it is where none is set here."""
    ours, recurrence = exploration_type(), _recurrence()
    with ExitStack() as stack:
        if ours is not None:
            stack.enter_context(set_interaction_type(InteractionType[ours.name]))
        if recurrence is not None:
            stack.enter_context(recurrence.set_recurrent_mode(recurrent_mode()))
        yield
