"""What off-policy algorithms have in common: steps are stored, drawn again, and weighed by what was learnt of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor

from keywork._errors import UsageError, refusal
from keywork._keys import DISCOUNT, DONE, INDEX, PRIORITY_WEIGHT, VALID, Key, next_key, unique
from keywork.buffers import PrioritizedSampler, ReplayBuffer, Sampler, SliceSampler
from keywork.collectors import Collector
from keywork.envs import Env
from keywork.flow import Flow
from keywork.modules import RunningNorm, update_statistics
from keywork.nn import TensorDictModuleBase
from keywork.train._memory import remembers
from keywork.train._parts import on_device, optimiser_part, require_settings


@dataclass(frozen=True)
class OffPolicySettings:
    """Settings that off-policy algorithms have in common; each has defaults of its own."""

    buffer_size: int = 1_000_000
    """Steps that are kept, of all environments together."""
    learning_starts: int = 100
    """Steps of random actions at the beginning, from which nothing is learnt yet."""
    batch_size: int = 32
    """Steps in one gradient step; if recurrent, as many slices as it holds."""
    train_freq: int = 4
    """Steps of each environment between two updates."""
    gradient_steps: int = 1
    """Gradient steps in one update; 0 for as many as steps were taken."""
    learning_rate: float = 1e-4
    """Adam's step size."""
    gamma: float = 0.99
    """Discount of the next step's value."""
    n_step: int = 1
    """Rewards that are summed before the next value counts."""
    prioritized: bool = False
    """Draw steps with large errors more often (Schaul et al. 2016)."""
    priority_alpha: float = 0.6
    """How much errors count for that: 0 for not at all."""
    priority_beta: float = 0.4
    """How much of it the losses' weights undo, at the beginning; at the end all."""
    slice_len: int = 8
    """Steps that follow one another, of which a recurrent network learns; for no other."""
    log_every: int = 1_000
    """Steps from one row of metrics to the next."""


def require_off_policy(config: OffPolicySettings) -> None:
    """Refuse settings that cannot be.

    Raises:
        UsageError: one cannot.
    """
    counts = ("buffer_size", "batch_size", "train_freq", "n_step", "slice_len", "log_every", "learning_rate")
    fractions = ("gamma", "priority_alpha", "priority_beta")
    require_settings(config, above_zero=counts, from_zero=("learning_starts", "gradient_steps"), fractions=fractions)
    if config.batch_size > config.buffer_size:
        raise UsageError(
            f"batch_size is {config.batch_size}, and the buffer keeps {config.buffer_size} steps: type "
            f"--buffer-size {10 * config.batch_size} or more."
        )


class Replay:
    """A buffer as the settings ask for it, and the batches of each update.

    Args:
        config: the settings.
        env: where the steps come from.
        loss: what learns from them; what it reads is kept.
        recurrent: whether it learns from slices of steps that follow one another.
        device: where it learns.
        seed: of all draws.

    Attributes:
        buffer: for the flow, and to be saved.

    Raises:
        UsageError: the settings contradict one another.
    """

    def __init__(
        self,
        config: OffPolicySettings,
        env: Env,
        loss: TensorDictModuleBase,
        *,
        recurrent: bool,
        device: torch.device,
        seed: int,
    ) -> None:
        self._config, self._device = config, device
        self._loss, self._normalizes = loss, any(isinstance(part, RunningNorm) for part in loss.modules())
        self._sampler = _sampler(config, recurrent)
        self._frames, self._starts = 0, _first_draw(config, env, recurrent)
        size = _slices_in_batch(config) if recurrent else config.batch_size
        made_here = [DISCOUNT, PRIORITY_WEIGHT, *([] if env.has_gaps else [VALID])]
        keys: list[Key] = [key for key in loss.in_keys if key not in made_here]
        self.buffer = ReplayBuffer(
            config.buffer_size,
            sampler=self._sampler,
            batch_size=size,
            keys=unique([*keys, next_key(DONE)]),
            seed=seed,
            n_step=config.n_step if config.n_step > 1 else None,
            gamma=config.gamma if config.n_step > 1 else None,
        )

    def batches(self, batch: TensorDict, progress: float) -> Iterator[TensorDict]:
        """Store what was collected, and draw a batch for each gradient step of this update.

        Running statistics of the loss's networks, and of their targets, take in what was collected.

        Args:
            batch: of the collector.
            progress: the share of the whole run.
        """
        config = self._config
        self.buffer.extend(batch)
        if self._normalizes:
            update_statistics(self._loss, on_device(batch, self._device))
        self._frames += batch.numel()
        if self._frames < self._starts:
            return
        if isinstance(self._sampler, PrioritizedSampler):
            self._sampler.beta = config.priority_beta + (1.0 - config.priority_beta) * progress
        for _ in range(config.gradient_steps or batch.numel()):
            yield on_device(self.buffer.sample(), self._device)

    def weigh(self, sample: TensorDict, error: Tensor) -> None:
        """Say how far off the loss was on a drawn batch, ``[B]``; counts only where the settings ask for it."""
        if self._config.prioritized:
            self.buffer.update_priority(sample[INDEX], error)


def assembled(
    config: OffPolicySettings,
    env: Env,
    acting: TensorDictModuleBase,
    loss: TensorDictModuleBase,
    *,
    anneal: bool = True,
    check: bool,
    device: torch.device,
    seed: int,
) -> tuple[Collector, Replay, Flow]:
    """What collects, what keeps, and the pipeline of both with loss and optimiser.

    Args:
        config: the settings.
        env: where to act.
        acting: the policy, with its exploration.
        loss: what learns, from single steps or, where it remembers, from slices.
        anneal: whether the collector lets the exploration fade.
        check: refuse parts that do not fit together.
        device: where the networks are.
        seed: of what is drawn from the buffer.

    Raises:
        ContractError: the parts do not fit together.
        UsageError: the settings contradict one another.
    """
    collector = Collector(
        env,
        acting,
        frames_per_batch=config.train_freq * env.num_envs,
        init_random_frames=config.learning_starts,
        anneal=anneal,
        check=check,
    )
    replay = Replay(config, env, loss, recurrent=remembers(loss), device=device, seed=seed)
    optimiser = optimiser_part("FlatAdam", loss, f"learning rate {config.learning_rate:g}")
    return collector, replay, Flow(env, acting, replay.buffer, loss, optimiser, check=check)


def _first_draw(config: OffPolicySettings, env: Env, recurrent: bool) -> int:
    """After how many steps there is something to learn from: of slices, when each stream may hold a whole one.

    Raises:
        UsageError: the buffer will never hold that much.
    """
    least = env.num_envs * (config.slice_len if recurrent else 1)
    if config.buffer_size < least:
        each = f"a slice of slice_len={config.slice_len} steps" if recurrent else "a step"
        raise UsageError(
            f"buffer_size is {config.buffer_size}, too small for {each} of each of {env.num_envs} environments: type "
            f"--buffer-size {least} or more, or a smaller --num-envs."
        )
    return max(config.learning_starts, least)


def _slices_in_batch(config: OffPolicySettings) -> int:
    """How many slices a batch holds.

    Raises:
        UsageError: not one.
    """
    if config.batch_size < config.slice_len:
        raise UsageError(
            f"batch_size is {config.batch_size}, and a recurrent network learns from slices of slice_len="
            f"{config.slice_len} steps: type --batch-size {config.slice_len} or more."
        )
    return config.batch_size // config.slice_len


def _require_slices(config: OffPolicySettings) -> None:
    """Refuse a length of slices that nothing is drawn in.

    Raises:
        UsageError: it is not the usual one.
    """
    usual = type(config)().slice_len
    if config.slice_len != usual:
        raise refusal(
            UsageError,
            "The buffer cannot draw slices: no network has a memory, and steps are drawn one by one.",
            where="slice_len",
            expected="a network with a memory, or slice_len left out",
            got=f"slice_len={config.slice_len}, and no network that carries a state",
            fix=f"leave --slice-len {config.slice_len} out, or add --policy gru; from Python, give a recurrent network",
        )


def _sampler(config: OffPolicySettings, recurrent: bool) -> Sampler | None:
    if not recurrent:
        _require_slices(config)
        kind = PrioritizedSampler(alpha=config.priority_alpha, beta=config.priority_beta)
        return kind if config.prioritized else None
    asked = {"--prioritized": "--no-prioritized"} if config.prioritized else {}
    asked |= {f"--n-step {config.n_step}": "--n-step 1"} if config.n_step > 1 else {}
    if asked:
        them, plain = (
            "them" if len(asked) > 1 else "it",
            "--policy mlp" if getattr(config, "policy", "mlp") != "mlp" else "networks without a memory",
        )
        raise UsageError(
            "A recurrent network learns from slices of steps that follow one another, which go without "
            f"{' and '.join(asked)}: leave {them} out ({' '.join(asked.values())}), or take {plain}."
        )
    return SliceSampler(config.slice_len)
