"""Policies and critics that fit the specs of observations and actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from keywork._errors import SpecError
from keywork._keys import ACTION, OBSERVATION, Key, as_key, listed, meant, path_of, with_leaf
from keywork.modules._from_spec_heads import MASK, Head, head_of
from keywork.modules._from_spec_leaves import leaves_of
from keywork.modules._from_spec_network import NetworkConfig, network_of
from keywork.modules._refusal import refusal
from keywork.nets import Chain
from keywork.nn import TensorDictModule
from keywork.specs import Categorical, Composite, MultiBinary, MultiDiscrete, OneHot, Spec

_NEAR_UNIFORM = 0.01
_PARAMS = "params"


class PolicyParts(NamedTuple):
    """The arguments of a :class:`~keywork.modules.ProbabilisticActor`, in their order."""

    module: TensorDictModule
    in_keys: Any
    out_keys: Any
    distribution_class: Any
    distribution_kwargs: Mapping[Any, Any]
    spec: Spec


class ActionValueParts(NamedTuple):
    """A network of action values, what it reads, and the action."""

    network: nn.Module
    in_keys: list[Key]
    spec: Spec
    action_key: Key


class Heads(nn.Module):
    """The outputs of one network, split and finished for each of several actions."""

    def __init__(self, heads: Iterable[Head]) -> None:
        super().__init__()
        heads = list(heads)
        self.widths = [head.width for head in heads]
        self.parts = nn.ModuleList([Chain(*head.finish) for head in heads])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """All parameters, one action after the other."""
        outputs: list[Tensor] = []
        for part, piece in zip(self.parts, x.split_with_sizes(self.widths, -1), strict=True):
            made = part(piece)
            outputs += made if isinstance(made, tuple) else (made,)
        return tuple(outputs)


def policy_parts(
    owner: str,
    observation_spec: Any,
    action_spec: Any,
    *,
    distribution: Any = None,
    action_mask_key: Any = None,
    config: NetworkConfig | None = None,
) -> PolicyParts:
    """What a stochastic policy is made of; see ``ProbabilisticActor.from_spec``.

    Raises:
        SpecError: the specs have no entries, there is no distribution for an action, or no such mask.
    """
    config = config or NetworkConfig()
    seen = leaves_of(owner, "observation_spec", observation_spec, OBSERVATION)
    actions = leaves_of(owner, "action_spec", action_spec, ACTION)
    makers = _by_action(owner, "distribution", distribution, actions)
    masks = {key: as_key(mask) for key, mask in _by_action(owner, "action_mask_key", action_mask_key, actions).items()}
    scale = None if config.learned_scale else config.scale_mapping
    heads = {key: head_of(owner, spec, makers.get(key), key in masks, scale) for key, spec in actions.items()}
    for key, mask in masks.items():
        _require_mask(owner, seen, mask, heads[key].choices or 0)
    shown = {key: spec for key, spec in seen.items() if key not in masks.values()}
    width = sum(head.width for head in heads.values())
    network = network_of(shown, width, config, _NEAR_UNIFORM)
    named = {key: _parameter_keys(key, head, alone=len(heads) == 1) for key, head in heads.items()}
    written = [parameter for of_action in named.values() for parameter in of_action.values()]
    for key, mask in masks.items():
        named[key] = {**named[key], MASK: mask}
    if len(heads) == 1:
        ((key, head),) = heads.items()
        module = TensorDictModule(Chain(network, *head.finish) if head.finish else network, list(shown), written)
        return PolicyParts(module, named[key], key, head.maker, head.keywords, actions[key])
    module = TensorDictModule(Chain(network, Heads(heads.values())), list(shown), written)
    made = {key: head.maker for key, head in heads.items()}
    keywords = {key: head.keywords for key, head in heads.items()}
    return PolicyParts(module, named, list(heads), made, keywords, Composite(actions))


def value_parts(
    owner: str, observation_spec: Any, action_spec: Any = None, *, config: NetworkConfig | None = None
) -> tuple[nn.Module, list[Key]]:
    """A network of the value of a state, or of actions in it; see ``ValueOperator.from_spec``."""
    seen = leaves_of(owner, "observation_spec", observation_spec, OBSERVATION)
    taken = {} if action_spec is None else leaves_of(owner, "action_spec", action_spec, ACTION)
    both = seen | taken
    return network_of(both, 1, config or NetworkConfig(), 1.0), list(both)


def action_value_parts(
    owner: str,
    observation_spec: Any,
    action_spec: Any,
    *,
    action_mask_key: Any = None,
    dueling: bool = False,
    rows: int | None = None,
    config: NetworkConfig | None = None,
) -> ActionValueParts:
    """A network of the values of all actions, or of ``rows`` numbers for each; see ``QValueActor.from_spec``."""
    seen = leaves_of(owner, "observation_spec", observation_spec, OBSERVATION)
    actions = leaves_of(owner, "action_spec", action_spec, ACTION)
    (key, spec), *others = actions.items()
    size = _count_of(spec)
    single = dueling or rows is not None
    unfit = (single and not isinstance(spec, Categorical | OneHot)) or (rows is not None and not isinstance(size, int))
    if size is None or others or unfit:
        kinds = "Categorical or OneHot" if single else "Categorical, OneHot, MultiDiscrete or MultiBinary"
        raise refusal(
            SpecError,
            f"{owner} cannot be built: there are no values of such actions{' from a dueling network' * dueling}.",
            where="action_spec",
            expected=f"one action, {kinds}",
            got=repr(action_spec),
            fix="ProbabilisticActor.from_spec takes any actions",
        )
    if action_mask_key is not None:
        _require_mask(owner, seen, as_key(action_mask_key), None)
    shown = {k: s for k, s in seen.items() if action_mask_key is None or k != as_key(action_mask_key)}
    size = size if rows is None else (rows, cast(int, size))
    network = network_of(shown, size, config or NetworkConfig(), 1.0, dueling=dueling)
    return ActionValueParts(network, list(shown), spec, key)


def _count_of(spec: Spec) -> int | tuple[int, ...] | None:
    """How many values a discrete action has, as :class:`QValueModule` takes them."""
    if isinstance(spec, Categorical):
        return (*spec.shape, spec.n) if spec.shape else spec.n
    if isinstance(spec, MultiDiscrete):
        return int(spec.nvec.sum())
    if isinstance(spec, MultiBinary):
        return tuple(spec.shape) if len(spec.shape) != 1 else spec.shape[0]
    return spec.n if isinstance(spec, OneHot) else None


def _parameter_keys(action: Key, head: Head, *, alone: bool) -> dict[str, Key]:
    """Where the parameters of an action are: beside a single one, or by the names of several."""
    if alone:
        return {argument: with_leaf(action, argument) for argument in head.arguments}
    return {argument: (_PARAMS, *path_of(action), argument) for argument in head.arguments}


def _by_action(owner: str, name: str, given: Any, actions: Mapping[Key, Spec]) -> dict[Key, Any]:
    """What was given for each action: for the only one, or by its key."""
    if given is None:
        return {}
    by_key = {as_key(key): value for key, value in given.items()} if isinstance(given, Mapping) else None
    if by_key is None and len(actions) == 1:
        return dict.fromkeys(actions, given)
    unknown = [key for key in by_key or {} if key not in actions]
    if by_key is None or unknown:
        raise refusal(
            SpecError,
            f"{owner} cannot be built: {name} does not say for which action it is.",
            where=name,
            expected=f"a dict with keys among {listed(actions)}",
            got=repr(given),
            fix=f"{meant(unknown[0], actions) if unknown else ''}{name}={{{next(iter(actions))!r}: ...}}",
        )
    return by_key


def _require_mask(owner: str, seen: Mapping[Key, Spec], mask: Key, choices: int | None) -> None:
    spec = seen.get(mask)
    if spec is not None and choices in (None, *spec.shape[-1:]) and len(seen) > 1:
        return
    there = f"the observations are {listed(seen)}" if spec is None else repr(spec)
    raise refusal(
        SpecError,
        f"{owner} cannot be built: {mask!r} is no mask of its action.",
        where="action_mask_key",
        expected=f"an entry of observation_spec with {'a' if choices is None else choices} flag(s), beside others",
        got=there,
        fix=meant(mask, seen) or "an observation_spec with an entry MultiBinary(n, dtype=torch.bool) for n choices",
    )
