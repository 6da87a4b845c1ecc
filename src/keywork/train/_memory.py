"""Networks that remember, and what they ask of an algorithm: who carries their states, minibatches in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from keywork._errors import ContractError, Finding, UsageError
from keywork._keys import Key, listed, next_key
from keywork.modules import ExplorationModule, Features, GRUModule, LSTMModule, gSDEModule
from keywork.nets import MLP, Chain, MLPConfig
from keywork.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential
from keywork.specs import Spec

FEATURES: Key = "features"
"""What a memory of :func:`memory_of` writes."""
_ENCODED: Key = "encoded"


def require_body(policy: str, num_cells: tuple[int, ...]) -> None:
    """Refuse a kind of network that there is not, and a memory without a width.

    Raises:
        UsageError: it is none of mlp, gru and lstm, or there is no hidden layer to take the width from.
    """
    if policy not in ("mlp", "gru", "lstm"):
        raise UsageError(f"policy is {policy!r}: it has to be mlp, gru or lstm, such as --policy gru.")
    if policy != "mlp" and not num_cells:
        raise UsageError(
            f"policy is {policy!r}, whose recurrent layer is as wide as the last hidden one, and num_cells "
            "names none: type --num-cells 64, or --policy mlp."
        )


def memory_of(policy: str, num_cells: tuple[int, ...], seen: Mapping[Key, Spec]) -> TensorDictSequential:
    """From observations to features of what has been seen so far: the hidden layers, and after them a recurrent one.

    Args:
        policy: gru or lstm.
        num_cells: widths of the hidden layers; the recurrent one is as wide as the last.
        seen: what is observed.

    >>> from keywork.specs import Unbounded
    >>> memory_of("gru", (8,), {"observation": Unbounded((4,))}).out_keys
    ['encoded', 'features', ('next', 'recurrent_state')]
    """
    features = Features(list(seen.values()))
    *hidden, width = num_cells
    config = MLPConfig(activate_last_layer=True)
    mlp = MLP(features.size, width, num_cells=hidden, activation_class=nn.ReLU, config=config)
    kind = GRUModule if policy == "gru" else LSTMModule
    states = list(kind.state_keys)
    return TensorDictSequential(
        TensorDictModule(Chain(features, mlp), list(seen), [_ENCODED]),
        kind(width, width, in_keys=[_ENCODED, *states], out_keys=[FEATURES, *map(next_key, states)]),
    )


def acting(owner: str, actor: TensorDictModuleBase, critic: TensorDictModuleBase) -> TensorDictModuleBase:
    """What acts while data is collected: the actor, and with it those steps of the critic that carry its own states.

    A critic with a memory of its own has to see every step as it comes, or the states from which rows begin would be
    missing; one on the actor's trunk needs nothing, for the actor carries the states of that.

    Raises:
        ContractError: two memories have one key.

    >>> from keywork.modules import Actor, GRUModule, ValueOperator
    >>> actor, memory = Actor(nn.Linear(4, 1)), GRUModule(4, 8, in_key="observation", out_key="features")
    >>> critic = TensorDictSequential(memory, ValueOperator(nn.Linear(8, 1), ["features"]))
    >>> acting("PPO", actor, critic).out_keys
    ['action', ('next', 'recurrent_state')]
    """
    shared = set(actor.modules())
    if all(part in shared for part in _carriers(critic)):
        return actor
    own = TensorDictSequential(*[step for step in _steps(critic) if step not in shared])
    states = own.contract.carries
    twice = [key for key in states if key in actor.contract.carries]
    if twice:
        problem = f"the actor and the critic each carry a state of their own under {listed(twice)}."
        fix = (
            "give the critic's another key, such as GRUModule(..., in_keys=['observation', 'critic_state']), or share "
            "one memory: ActorValueOperator(memory, actor, critic)."
        )
        raise ContractError(owner, [Finding("shared-state", problem, "", fix)])
    following = [next_key(key) for key in states]
    memory = own.select_subsequence(out_keys=following).select_out_keys(*following)
    outside = [key for key in memory.in_keys if key not in actor.out_keys]
    return TensorDictSequential({"actor": actor, "critic memory": memory}, external=outside)


def rows_in_minibatch(minibatch_size: int, num_steps: int) -> int:
    """How many whole rows of ``num_steps`` frames a minibatch holds.

    Raises:
        UsageError: not one.
    """
    if minibatch_size < num_steps:
        raise UsageError(
            f"minibatch_size is {minibatch_size}, and a recurrent network learns from whole rows, of num_steps="
            f"{num_steps} frames each: type --minibatch-size {num_steps} or more, or --num-steps {minibatch_size}."
        )
    return minibatch_size // num_steps


def remembers(*networks: TensorDictModuleBase) -> bool:
    """Whether what is computed of a step depends on those before it.

    Something carries a state, that is to say; but what only noise comes from counts for nothing in a loss.
    """
    carriers = [part for network in networks for part in _carriers(network)]
    return not all(isinstance(part, ExplorationModule | gSDEModule) for part in carriers)


def _carriers(module: nn.Module) -> Iterator[TensorDictModuleBase]:
    for part in module.modules():
        chain = isinstance(part, TensorDictSequential)
        if isinstance(part, TensorDictModuleBase) and not chain and part.contract.carries:
            yield part


def _steps(module: Any) -> Iterator[Any]:
    """A key module, or the steps of a sequential and of those in it."""
    if isinstance(module, TensorDictSequential):
        for step in module:
            yield from _steps(step)
    else:
        yield module
