"""Networks for observations of any specs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from keywork._keys import Key
from keywork.modules._from_spec_features import Features, ImageNetwork, usual_image_network
from keywork.modules._from_spec_norm import Standardised
from keywork.modules._running_norm import RunningNorm
from keywork.nets import MLP, Chain, DuelingMLP, MLPConfig
from keywork.specs import Spec


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
        scale_mapping: what the network's outputs for such a scale become, as
            :class:`~keywork.distributions.NormalParamExtractor` takes it.
        observation_norm: what standardises the observations first. All networks of one config have it in common.
        layer_class: the layers of the MLP, as :class:`~keywork.nets.MLPConfig` takes it, such as
            :class:`~keywork.modules.NoisyLinear`; others than ``nn.Linear`` initialise themselves, ``init="torch"``.
    """

    num_cells: Sequence[int] = (64, 64)
    activation_class: Callable[[], nn.Module] = nn.Tanh
    init: Literal["torch", "orthogonal"] = "orthogonal"
    last_gain: float | None = None
    norm_class: Callable[[int], nn.Module] | None = None
    image_network: ImageNetwork | None = None
    learned_scale: bool = False
    scale_mapping: str | Callable[[torch.Tensor], torch.Tensor] = "biased_softplus_1.0"
    observation_norm: RunningNorm | None = None
    layer_class: Callable[..., nn.Module] = nn.Linear


def network_of(
    seen: Mapping[Key, Spec],
    out_features: int | Sequence[int],
    config: NetworkConfig,
    last_gain: float,
    *,
    dueling: bool = False,
) -> nn.Module:
    """A network that takes the entries of these specs, in their order."""
    specs = [*seen.values()]
    make = config.image_network or partial(usual_image_network, init=config.init)
    features = Features(specs, image_network=make)
    options: Mapping[str, Any] = {
        "num_cells": list(config.num_cells),
        "activation_class": config.activation_class,
        "init": config.init,
        "last_gain": last_gain if config.last_gain is None else config.last_gain,
        "config": MLPConfig(norm_class=config.norm_class, layer_class=config.layer_class),
    }
    mlp = (DuelingMLP if dueling else MLP)(features.size, out_features, **options)
    numbers = len(specs) == 1 and len(specs[0].shape) == 1 and specs[0].dtype is torch.get_default_dtype()
    network = mlp if numbers else Chain(features, mlp)
    norm = config.observation_norm
    return network if norm is None else Chain(Standardised(norm, list(seen)), network)
