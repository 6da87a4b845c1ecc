"""Actors and critics: key modules for policies and values."""

from keywork.modules._actor import Actor, DrawOptions, ProbabilisticActor
from keywork.modules._actor_critic import ActorCriticWrapper, ActorValueOperator
from keywork.modules._gru import GRUModule
from keywork.modules._lstm import LSTMModule
from keywork.modules._value import ValueOperator

__all__ = [
    "Actor",
    "ActorCriticWrapper",
    "ActorValueOperator",
    "DrawOptions",
    "GRUModule",
    "LSTMModule",
    "ProbabilisticActor",
    "ValueOperator",
]
