"""The cells of the matrix: how each algorithm is asked for with each network and each storage."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from tensordict import TensorDict
from torch import nn

from keywork._keys import DISCOUNT, DONE, PRIORITY_WEIGHT, VALID, next_key, unique
from keywork.buffers import PrioritizedSampler, RandomSampler, ReplayBuffer, Sampler, SliceSampler
from keywork.cli._asked import parse_algorithm
from keywork.collectors import Collector
from keywork.distributions import TanhDelta
from keywork.flow import Flow
from keywork.modules import Features, GRUModule, LSTMModule, NetworkConfig, ProbabilisticActor, ValueOperator
from keywork.nets import Chain
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictModuleBase, TensorDictSequential
from keywork.objectives import GAE, BCLoss, CQLLoss, IQLLoss, KLPENPPOLoss
from keywork.specs import Composite, Unbounded
from keywork.train import RECIPES, NetworkSettings, networks_of

worlds = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("worlds.py"))))

BODIES = ("feed-forward", "shared trunk", "GRU", "LSTM", "masked", "dict")
STORAGES = ("in memory", "sliced", "prioritised")
MEMORIES = {"GRU": "gru", "LSTM": "lstm"}
WIDTH, SLICE = 8, 4
ON_POLICY = {"num_cells": (WIDTH,), "num_steps": 8, "entropy_coeff": 0.01, "learning_rate": 1e-3}
OFF_POLICY = {
    "num_cells": (WIDTH,),
    "learning_starts": 16,
    "buffer_size": 64,
    "batch_size": 16,
    "train_freq": 4,
    "learning_rate": 1e-3,
    "gradient_steps": 1,
}
SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "in memory": RandomSampler,
    "sliced": partial(SliceSampler, SLICE),
    "prioritised": partial(PrioritizedSampler, alpha=0.6, beta=0.4),
}


class Pipeline(NamedTuple):
    """What a cell is made of."""

    collector: Collector
    flow: Flow
    loss: TensorDictModuleBase
    learn: Callable[[TensorDict], Any]
    """What is done with a batch of the collector."""
    batch: Callable[[TensorDict], TensorDict]
    """What the loss learns of at the end, of the last batch of the collector."""


def build(algorithm: str, body: str, storage: str) -> Pipeline:
    """One cell, as a user would type it."""
    make, actions = ALGORITHMS[algorithm]
    return make(worlds.world(body, actions), body, storage)


def on_policy(name: str, env: Any, body: str, storage: str) -> Pipeline:
    """A batch is learnt from as it was collected; other storages have to be asked for by their options."""
    _on_the_command_line(name, [] if storage == "in memory" else _words_for(storage))
    algorithm = RECIPES[name].algorithm(env, RECIPES[name].config(**ON_POLICY, **_networks(env, body)))
    estimator = algorithm.returns if name == "reinforce" else algorithm.gae
    return Pipeline(algorithm.collector, algorithm.flow, algorithm.loss, partial(_update, algorithm), estimator)


def kl_penalty(env: Any, body: str, storage: str) -> Pipeline:
    """PPO with a penalty, put together by hand; what it has just collected may go through a buffer in pieces."""
    actor, critic = networks_of(env, NetworkSettings(num_cells=(WIDTH,), **_networks(env, body)))
    states = [next_key(key) for key in critic.contract.carries]
    acting = TensorDictSequential(actor, critic.select_subsequence(out_keys=states)) if states else actor
    loss, gae = KLPENPPOLoss(actor, critic), GAE(0.99, 0.95, critic)
    collector = Collector(env, acting, frames_per_batch=32)
    if storage == "in memory":
        return Pipeline(collector, Flow(env, acting, gae, loss), loss, lambda batch: _step(loss, gae(batch)), gae)
    buffer = _buffer(loss, storage, 32)

    def drawn(batch: TensorDict) -> TensorDict:
        buffer.extend(gae(batch))
        return buffer.sample()

    return Pipeline(
        collector, Flow(env, acting, gae, buffer, loss), loss, lambda batch: _step(loss, drawn(batch)), drawn
    )


def values(name: str, env: Any, body: str, storage: str, **options: Any) -> Pipeline:
    """Q-learning: one network, which may remember."""
    _on_the_command_line(name, ["--share-trunk"] if body == "shared trunk" else [])
    settings = {**OFF_POLICY, "target_update_interval": 32, **_memory(body), **options}
    if name == "rainbow" or storage == "prioritised":
        settings["prioritized"] = storage == "prioritised"
    algorithm = RECIPES[name].algorithm(env, RECIPES[name].config(**settings))
    return _replayed(env, algorithm, body, storage, settings.get("n_step", 3 if name == "rainbow" else 1))


def actor_critic(name: str, env: Any, body: str, storage: str) -> Pipeline:
    """An actor and critics of its actions; what the algorithm does not make by itself is given."""
    config = RECIPES[name].config(**OFF_POLICY, **_memory(body), prioritized=storage == "prioritised")
    algorithm = RECIPES[name].algorithm(env, config, **_given(name, env, body))
    return _replayed(env, algorithm, body, storage)


def offline(name: str, env: Any, body: str, storage: str) -> Pipeline:
    """A loss that learns from what anybody has stored."""
    if name == "bc":
        settings = NetworkSettings(num_cells=(WIDTH,), **_networks(env, body))
        actor = networks_of(env, settings)[0]
        loss: Any = BCLoss(actor)
    else:
        given = _given(name, env, body)
        actor, critic = given.get("actor") or _plain_actor(env, body), given.get("critic") or _critic(env)
        state = ValueOperator.from_spec(_unmasked(env), config=_CONFIG)
        loss = IQLLoss(actor, critic, state) if name == "iql" else CQLLoss(actor, critic, action_spec=env.action_spec)
    collector = Collector(env, actor, frames_per_batch=16)
    return _through(env, actor, collector, loss, storage)


ALGORITHMS: dict[str, tuple[Callable[[Any, str, str], Pipeline], str]] = {
    "ppo": (partial(on_policy, "ppo"), worlds.CHOICES),
    "ppo of numbers": (partial(on_policy, "ppo"), worlds.NUMBERS),
    "ppo with a KL penalty": (kl_penalty, worlds.CHOICES),
    "a2c": (partial(on_policy, "a2c"), worlds.CHOICES),
    "reinforce": (partial(on_policy, "reinforce"), worlds.CHOICES),
    "dqn": (partial(values, "dqn"), worlds.CHOICES),
    "dqn, double": (partial(values, "dqn", double=True), worlds.CHOICES),
    "dqn, dueling": (partial(values, "dqn", dueling=True), worlds.CHOICES),
    "dqn, noisy": (partial(values, "dqn", noisy=True), worlds.CHOICES),
    "dqn, c51": (partial(values, "dqn", distributional=True, num_atoms=11), worlds.CHOICES),
    "qrdqn": (partial(values, "qrdqn", num_quantiles=5), worlds.CHOICES),
    "dqn, n-step": (partial(values, "dqn", n_step=3), worlds.CHOICES),
    "rainbow": (partial(values, "rainbow", num_atoms=11), worlds.CHOICES),
    "ddpg": (partial(actor_critic, "ddpg"), worlds.NUMBERS),
    "td3": (partial(actor_critic, "td3"), worlds.NUMBERS),
    "sac": (partial(actor_critic, "sac"), worlds.NUMBERS),
    "sacd": (partial(actor_critic, "sacd"), worlds.CHOICES),
    "bc": (partial(offline, "bc"), worlds.CHOICES),
    "cql": (partial(offline, "cql"), worlds.NUMBERS),
    "iql": (partial(offline, "iql"), worlds.CHOICES),
}

_CONFIG = NetworkConfig(num_cells=(WIDTH,))


def _on_the_command_line(name: str, words: Sequence[str]) -> None:
    parse_algorithm(name, words, f"keywork train {name}", "")


def _words_for(storage: str) -> list[str]:
    return ["--prioritized"] if storage == "prioritised" else ["--slice-len", str(SLICE)]


def _networks(env: Any, body: str) -> dict[str, Any]:
    """The settings of a policy and a critic; a mask of numbers can only be asked for by hand."""
    if body == "masked" and not hasattr(env.action_spec, "n"):
        _plain_actor(env, body)
    return {"policy": MEMORIES.get(body, "mlp"), "share_trunk": body == "shared trunk"}


def _memory(body: str) -> dict[str, Any]:
    """The settings of an off-policy algorithm whose networks remember, and nothing for one whose do not."""
    return {"policy": MEMORIES[body], "slice_len": SLICE} if body in MEMORIES else {}


def _given(name: str, env: Any, body: str) -> dict[str, Any]:
    """The networks of an actor-critic that are not those that it makes."""
    if body == "masked" and not hasattr(env.action_spec, "n"):
        return {"actor": _plain_actor(env, body)}
    if body == "shared trunk":
        trunk = _trunk(env, None)
        return {
            "actor": _headed(name, env, trunk),
            "critic": TensorDictSequential(trunk, _critic(env, name, _FEATURES)),
        }
    if body in MEMORIES and name not in RECIPES:
        return {"actor": _headed(name, env, _trunk(env, body))}
    return {}


_FEATURES = Composite({"features": Unbounded((WIDTH,))})


def _trunk(env: Any, memory: str | None) -> TensorDictModuleBase:
    features = Features(list(env.observation_spec.values()))
    net = Chain(features, nn.Linear(features.size, WIDTH), nn.Tanh())
    keys = list(env.observation_spec)
    if memory is None:
        return TensorDictModule(net, keys, ["features"])
    kind = GRUModule if memory == "GRU" else LSTMModule
    return TensorDictSequential(
        TensorDictModule(net, keys, ["encoded"]), kind(WIDTH, WIDTH, in_key="encoded", out_key="features")
    )


def _headed(name: str, env: Any, trunk: TensorDictModuleBase) -> ProbabilisticTensorDictSequential:
    distribution = TanhDelta if name in ("ddpg", "td3") else None
    head = ProbabilisticActor.from_spec(
        _FEATURES, env.action_spec, distribution=distribution, return_log_prob=False, config=NetworkConfig(num_cells=())
    )
    return ProbabilisticTensorDictSequential(trunk, head)


def _plain_actor(env: Any, body: str) -> ProbabilisticActor:
    mask = "action_mask" if body == "masked" else None
    return ProbabilisticActor.from_spec(env.observation_spec, env.action_spec, action_mask_key=mask, config=_CONFIG)


def _critic(env: Any, name: str = "", seen: Any = None) -> TensorDictModuleBase:
    if name == "sacd":
        return TensorDictModule(nn.Linear(WIDTH, env.action_spec.n), ["features"], ["action_value"])
    return ValueOperator.from_spec(_unmasked(env) if seen is None else seen, env.action_spec, config=_CONFIG)


def _unmasked(env: Any) -> Composite:
    return Composite({key: spec for key, spec in env.observation_spec.items() if key != "action_mask"})


def _replayed(env: Any, algorithm: Any, body: str, storage: str, n_step: int = 1) -> Pipeline:
    """An off-policy algorithm with its own buffer; or, where that is of another kind, its parts and this kind."""
    native = "sliced" if body in MEMORIES else "in memory"
    if storage in (native, "prioritised"):
        replay = algorithm.replay
        return Pipeline(
            algorithm.collector,
            algorithm.flow,
            algorithm.loss,
            partial(_update, algorithm),
            lambda _: replay.buffer.sample(),
        )
    return _through(env, algorithm.collector.policy, algorithm.collector, algorithm.loss, storage, n_step)


def _through(
    env: Any, acting: TensorDictModuleBase, collector: Collector, loss: Any, storage: str, n_step: int = 1
) -> Pipeline:
    """Collector, buffer and loss put together by hand."""
    buffer = _buffer(loss, storage, 64, n_step)

    def learn(batch: TensorDict) -> None:
        buffer.extend(batch)
        if len(buffer) < OFF_POLICY["learning_starts"]:  # type: ignore[operator]
            return
        sample = buffer.sample()
        out = _step(loss, sample)
        if storage == "prioritised":
            buffer.update_priority(sample["index"], out["td_error"])

    return Pipeline(collector, Flow(env, acting, buffer, loss), loss, learn, lambda _: buffer.sample())


def _buffer(loss: Any, storage: str, size: int, n_step: int = 1) -> ReplayBuffer:
    made_there = (DISCOUNT, PRIORITY_WEIGHT, VALID)
    keys = unique([*[key for key in loss.in_keys if key not in made_there], next_key(DONE)])
    steps = {"n_step": n_step, "gamma": 0.99} if n_step > 1 else {}
    count = 4 if storage == "sliced" else 16
    return ReplayBuffer(size, sampler=SAMPLERS[storage](), batch_size=count, keys=keys, seed=0, **steps)


def _update(algorithm: Any, batch: TensorDict) -> Mapping[str, float]:
    done: Mapping[str, float] = algorithm.update(batch, 0.0)
    return done


def _step(loss: Any, batch: TensorDict) -> TensorDict:
    """A step down the gradient of all losses together."""
    out: TensorDict = loss(batch)
    total = sum(out[key] for key in loss.out_keys if str(key).startswith("loss"))
    parameters = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=1e-3)
    optimiser.zero_grad()
    total.backward()
    optimiser.step()
    optimiser.zero_grad()
    return out
