"""What an actor would do now, at each step of a batch and one step on, with a gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor
from torch.distributions import Distribution

from keywork._keys import Key, next_key
from keywork.distributions import CompositeDistribution
from keywork.nn import (
    ExplorationType,
    ProbabilisticTensorDictModule,
    TensorDictModuleBase,
    TensorDictSequential,
    set_exploration_type,
    set_recurrent_mode,
)
from keywork.objectives._along import Along

Actions: TypeAlias = dict[Key, Tensor]


class Choosing:
    """An actor that is asked for the action it holds for the best, without noise.

    >>> from keywork.modules import Actor
    >>> choosing = Choosing(Actor(torch.nn.Linear(4, 2)), ["action"])
    >>> choosing.now({"observation": torch.ones(8, 4)})["action"].shape
    torch.Size([8, 2])
    """

    def __init__(self, actor: TensorDictModuleBase, actions: Sequence[Key]) -> None:
        self._along, self._actions = Along(actor), tuple(actions)
        self._places = [actor.out_keys.index(key) for key in actions]

    def now(self, held: Mapping[Key, Any]) -> Actions:
        """The actions at each step."""
        with set_exploration_type(ExplorationType.DETERMINISTIC):
            outputs = self._along.run(held)
        return {key: outputs[place] for key, place in zip(self._actions, self._places, strict=True)}

    def ahead(self, held: Mapping[Key, Any]) -> Actions:
        """Those of the step after each, by the keys that they have there."""
        with set_exploration_type(ExplorationType.DETERMINISTIC):
            outputs = self._along.run_ahead(held)
        return {next_key(key): outputs[place] for key, place in zip(self._actions, self._places, strict=True)}


class Drawn(NamedTuple):
    """Actions that were drawn: by key, the log-probability of all together ``[*B]``, and the size of an action."""

    actions: Actions
    log_prob: Tensor
    size: int


class Drawing:
    """An actor with a distribution, from which actions are drawn and scored at once."""

    def __init__(self, actor: Any) -> None:
        self._actor, self._along = actor, Along(actor)

    def dist(self, held: Mapping[Key, Any]) -> Distribution:
        """The distribution at each step."""
        inputs = self._along.inputs(held)
        with set_recurrent_mode(True), set_exploration_type(ExplorationType.RANDOM):
            made: Distribution = self._actor.dist_of(*inputs)
        return made

    def dist_ahead(self, held: Mapping[Key, Any]) -> Distribution:
        """The distribution at the step after each."""
        inputs = self._along.inputs_ahead(held)
        with set_recurrent_mode(False), set_exploration_type(ExplorationType.RANDOM):
            made: Distribution = self._actor.dist_of(*inputs)
        return made

    def now(self, held: Mapping[Key, Any]) -> Drawn:
        """Actions of each step."""
        return self._draw(self.dist(held), list(self._actor.dist_sample_keys))

    def ahead(self, held: Mapping[Key, Any]) -> Drawn:
        """Actions of the step after each, by the keys that they have there."""
        return self._draw(self.dist_ahead(held), [next_key(key) for key in self._actor.dist_sample_keys])

    def _draw(self, dist: Distribution, keys: Sequence[Key]) -> Drawn:
        # The policy's own way to draw: it knows of projections to a spec, and scores where it draws.
        head = last_step(self._actor)
        drawn = head._plan.draw(dist, "random", True, head.generator)
        samples, log_probs = drawn[: len(keys)], drawn[len(keys) :]
        return Drawn(dict(zip(keys, samples, strict=True)), reduce(torch.add, log_probs), _size(dist))


def last_step(policy: Any) -> ProbabilisticTensorDictModule:
    """What makes a policy's distribution and draws from it: the last step of its last step, and so on."""
    while isinstance(policy, TensorDictSequential):
        policy = policy[-1]
    return cast(ProbabilisticTensorDictModule, policy)


def _size(dist: Distribution) -> int:
    """How many numbers an action has."""
    parts = dist.dists.values() if isinstance(dist, CompositeDistribution) else [dist]
    return sum(part.event_shape.numel() for part in parts)
