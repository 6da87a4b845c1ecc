"""Networks for observations of any specs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from keywork._errors import SpecError
from keywork._keys import Key, as_key
from keywork.modules._from_spec_features import Features, ImageNetwork, usual_image_network
from keywork.modules._refusal import refusal
from keywork.nets import MLP, Chain, DuelingMLP, MLPConfig
from keywork.specs import Composite, Spec, as_spec


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """How ``from_spec`` builds a network: :class:`Features`, and an :class:`~keywork.nets.MLP` on them.

    Attributes:
        num_cells: sizes of the hidden layers.
        activation_class: called without arguments for each activation.
        init: ``"orthogonal"``, or ``"torch"`` for what each layer does by itself.
        last_gain: with ``init="orthogonal"``, the gain of the last layer; if left out 0.01 for policies, which makes
            them start out near uniform, and 1 for values.
        norm_class: a normalisation ``norm_class(num_features)`` before each activation of the MLP.
        image_network: as :class:`Features` takes it.
        learned_scale: where a distribution has a scale: True learns one that is the same in every state (PPO's way),
            False one that the network computes (SAC's).
    """

    num_cells: Sequence[int] = (64, 64)
    activation_class: Callable[[], nn.Module] = nn.Tanh
    init: Literal["torch", "orthogonal"] = "orthogonal"
    last_gain: float | None = None
    norm_class: Callable[[int], nn.Module] | None = None
    image_network: ImageNetwork | None = None
    learned_scale: bool = False


def leaves_of(owner: str, name: str, spec: Any, key: Key) -> dict[Key, Spec]:
    """The specs of single tensors by their keys; of a spec without keys, ``key``.

    Raises:
        SpecError: there is none.
    """
    known = as_spec(spec)
    leaves: dict[Key, Spec] = dict(known.items()) if isinstance(known, Composite) else {as_key(key): known}
    if not leaves:
        raise refusal(
            SpecError,
            f"{owner} cannot be built: a spec has no entry.",
            where=name,
            expected="at least one entry",
            got=repr(known),
            fix=f"{name}=env.{name}",
        )
    return leaves


def network_of(
    specs: Sequence[Spec],
    out_features: int | Sequence[int],
    config: NetworkConfig,
    last_gain: float,
    *,
    dueling: bool = False,
) -> nn.Module:
    """A network that takes an entry of each spec."""
    make = config.image_network or partial(usual_image_network, init=config.init)
    features = Features(specs, image_network=make)
    options: Mapping[str, Any] = {
        "num_cells": list(config.num_cells),
        "activation_class": config.activation_class,
        "init": config.init,
        "last_gain": last_gain if config.last_gain is None else config.last_gain,
        "config": MLPConfig(norm_class=config.norm_class),
    }
    mlp = (DuelingMLP if dueling else MLP)(features.size, out_features, **options)
    numbers = len(specs) == 1 and len(specs[0].shape) == 1 and specs[0].dtype is torch.get_default_dtype()
    return mlp if numbers else Chain(features, mlp)
