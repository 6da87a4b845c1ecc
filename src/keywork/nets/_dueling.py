"""Dueling networks: action values as the value of the state and the advantages of the actions."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor, nn

from ._convnet import ConvNet
from ._mlp import MLP, MLPConfig
from ._reset import Init, reset_parts


class DuelingNetwork(nn.Module, ABC):
    """Q(s, a) = V(s) + A(s, a) - (1/n) Σₐ' A(s, a'); the abstract base, which a subclass gives its three networks.

    Args:
        features: what both have in common.
        advantage: from features to A, ``[*B, n]`` or ``[*B, atoms, n]``.
        value: from features to V, with a last dimension of one in place of n.
    """

    def __init__(self, features: nn.Module, advantage: nn.Module, value: nn.Module) -> None:
        super().__init__()
        self.features, self.advantage, self.value = features, advantage, value

    def forward(self, *inputs: Tensor) -> Tensor:
        """Action values ``[*B, n]``; where atoms were asked for, logits ``[*B, atoms, n]``."""
        x = self.features(*inputs)
        of_actions: Tensor = self.advantage(x)
        of_state: Tensor = self.value(x)
        return of_state + (of_actions - of_actions.mean(-1, keepdim=True))

    def reset_parameters(self) -> None:
        """Draw all parameters anew, in the way of construction."""
        for child in self.children():
            reset_parts(child)


class DuelingMLP(DuelingNetwork):
    """Q(s, a) = V(s) + A(s, a) - (1/n) Σₐ' A(s, a'), with hidden layers in common and some of its own for each.

    (Wang et al., Dueling Network Architectures for Deep Reinforcement Learning, 2016.)

    Args:
        in_features: size of the last dimension of the input, of all inputs together; None finds it at the first call.
        out_features: n, the number of actions; or ``(atoms, n)`` for the logits of a distribution of each action's
            return (Hessel et al., Rainbow, 2018), as :class:`~keywork.modules.DistributionalQValueActor` takes them.
        num_cells: sizes of the hidden layers in common.
        head_cells: sizes of the hidden layers of V, and of A.
        activation_class: called without arguments for each activation.
        init: as :class:`MLP` takes it.
        last_gain: with ``init="orthogonal"``, the gain of the last layers of V and A.
        config: the less common options.

    Raises:
        SpecError: sizes that are missing or not positive.

    >>> import torch
    >>> DuelingMLP(4, 2)(torch.zeros(8, 4)).shape, DuelingMLP(4, (51, 2))(torch.zeros(8, 4)).shape
    (torch.Size([8, 2]), torch.Size([8, 51, 2]))
    """

    def __init__(
        self,
        in_features: int | None = None,
        out_features: int | Sequence[int] | None = None,
        *,
        num_cells: int | Sequence[int] = (64, 64),
        head_cells: int | Sequence[int] = (),
        activation_class: Callable[[], nn.Module] = nn.Tanh,
        init: Init = "torch",
        last_gain: float = 1.0,
        config: MLPConfig | None = None,
    ) -> None:
        config = config or MLPConfig()
        *before, last = _sizes(num_cells) or [0]
        hidden = replace(config, activate_last_layer=True, bias_last_layer=config.bias)
        trunk = MLP(
            in_features,
            last,
            num_cells=before,
            activation_class=activation_class,
            init=init,
            last_gain=config.gain,
            config=hidden,
        )
        heads = [
            MLP(
                last,
                size,
                num_cells=_sizes(head_cells),
                activation_class=activation_class,
                init=init,
                last_gain=last_gain,
                config=config,
            )
            for size in _outputs(out_features)
        ]
        super().__init__(trunk, *heads)


class DuelingCNN(DuelingNetwork):
    """Q(s, a) = V(s) + A(s, a) - (1/n) Σₐ' A(s, a'), of images ``[*B, C, H, W]``.

    (Wang et al., Dueling Network Architectures for Deep Reinforcement Learning, 2016.)

    Args:
        out_features: n, the number of actions; or ``(atoms, n)``, see :class:`DuelingMLP`.
        conv: the layers in common; if left out a :class:`ConvNet` as it is, which finds its sizes at the first call.
        num_cells: sizes of the hidden layers of V, and of A.
        activation_class: called without arguments for each activation of these.
        init: as :class:`MLP` takes it; also that of ``conv``, where that is left out.
        last_gain: with ``init="orthogonal"``, the gain of the last layers of V and A.
        config: the less common options of V and A.

    Raises:
        SpecError: sizes that are missing or not positive.

    >>> import torch
    >>> DuelingCNN(6)(torch.zeros(2, 4, 84, 84, dtype=torch.uint8)).shape
    torch.Size([2, 6])
    """

    def __init__(
        self,
        out_features: int | Sequence[int],
        conv: ConvNet | None = None,
        *,
        num_cells: int | Sequence[int] = 512,
        activation_class: Callable[[], nn.Module] = nn.ReLU,
        init: Init = "torch",
        last_gain: float = 1.0,
        config: MLPConfig | None = None,
    ) -> None:
        trunk = ConvNet(init=init) if conv is None else conv
        heads = [
            MLP(
                trunk.out_features,
                size,
                num_cells=_sizes(num_cells),
                activation_class=activation_class,
                init=init,
                last_gain=last_gain,
                config=config,
            )
            for size in _outputs(out_features)
        ]
        super().__init__(trunk, *heads)


def _sizes(num_cells: int | Sequence[int]) -> list[int]:
    return [num_cells] if isinstance(num_cells, int) else list(num_cells)


def _outputs(out_features: int | Sequence[int] | None) -> tuple[int | Sequence[int] | None, ...]:
    """The sizes of A and of V."""
    if out_features is None or isinstance(out_features, int):
        return out_features, 1
    return tuple(out_features), (*tuple(out_features)[:-1], 1)
