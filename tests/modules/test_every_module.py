"""Every key module of the catalogue passes the conformance kit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor, nn

import keywork.modules
import keywork.nn
import keywork.objectives
from keywork.distributions import (
    Categorical,
    Delta,
    IndependentNormal,
    NormalParamExtractor,
    OneHotCategorical,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
)
from keywork.modules import (
    Actor,
    ActorCriticOperator,
    ActorCriticWrapper,
    ActorValueOperator,
    AdditiveGaussianModule,
    DistributionalQValueActor,
    DistributionalQValueModule,
    EGreedyModule,
    EnsembleModule,
    FrameStack,
    GRUModule,
    LSTMModule,
    NetworkConfig,
    NoisyLinear,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    QuantileQValueActor,
    QuantileQValueModule,
    QValueActor,
    QValueModule,
    RandomPolicy,
    RewardClip,
    RewardScaling,
    RunningNorm,
    SDEConfig,
    TanhModule,
    ValueOperator,
    WrapModule,
    as_tensordict_module,
    gSDEModule,
)
from keywork.nets import MLP
from keywork.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
    TensorDictSequential,
    set_recurrent_mode,
)
from keywork.objectives import (
    GAE,
    A2CLoss,
    BCLoss,
    ClipPPOLoss,
    CQLLoss,
    DDPGLoss,
    DiscreteSACLoss,
    DistributionalDQNLoss,
    DQNLoss,
    IQLLoss,
    KLPENPPOLoss,
    MonteCarlo,
    QuantileDQNLoss,
    ReinforceLoss,
    SACLoss,
    TD0Estimator,
    TD3Loss,
    TDLambdaEstimator,
    VTrace,
)
from keywork.specs import Bounded, Composite, MultiBinary, MultiDiscrete, OneHot, Unbounded
from keywork.specs import Categorical as Choice
from keywork.testing import KeyModuleConformance

B = 5
BOX = Bounded(-1.0, 1.0, (2,))
INDEX = torch.zeros(B, dtype=torch.int64)
NUMBERS = torch.zeros(B, 2)
STATES = torch.randn(B, 3, generator=torch.Generator().manual_seed(0))
FIRST = torch.ones(B, 1, dtype=torch.bool)
T = 4
SEVERAL = INDEX.unsqueeze(-1).expand(B, 2)

Place = Callable[[Any], Any]


def plain(key: Any) -> Any:
    return key


def nested(key: Any) -> Any:
    """The key inside a group; what a step hands on stays at the root of it: ``("next", "group", key)``."""
    path = (key,) if isinstance(key, str) else key
    return (*path[:1], "group", *path[1:]) if path[0] == "next" else ("group", *path)


@dataclass(frozen=True)
class Case:
    """How a module is made under keys that ``k`` places, and what it is fed, in the order of its in_keys."""

    make: Callable[[Place], TensorDictModuleBase]
    inputs: tuple[Tensor, ...]
    noisy: bool = False
    exempt: Mapping[str, str] = field(default_factory=dict)
    batch_dims: int = 1
    lazy: Callable[[], TensorDictModuleBase] | None = None
    sequences: bool = False


def flags(n: int) -> Tensor:
    return torch.ones(B, n, dtype=torch.bool)


def net(n_in: int, n_out: int, k: Place, read: str = "observation", write: str = "hidden") -> TensorDictModule:
    return TensorDictModule(nn.Linear(n_in, n_out), [k(read)], [k(write)])


def located(k: Place) -> TensorDictModule:
    module = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor())
    return TensorDictModule(module, [k("observation")], [k("loc"), k("scale")])


def normal_actor(kind: Any, k: Place, **options: Any) -> ProbabilisticActor:
    keys = {"loc": k("loc"), "scale": k("scale")}
    return ProbabilisticActor(located(k), keys, [k("action")], distribution_class=kind, return_log_prob=True, **options)


def steer_and_gear(k: Place) -> ProbabilisticActor:
    """Two actions at once, whose log-probabilities are their own."""
    networks = [located(k), net(3, 4, k, write="logits")]
    keys = {k("steer"): {"loc": k("loc"), "scale": k("scale")}, k("gear"): {"logits": k("logits")}}
    actions = {k("steer"): TanhNormal, k("gear"): Categorical}
    return ProbabilisticActor(networks, keys, distribution_class=actions, return_log_prob=True)


def q_actor_of_specs(k: Place) -> QValueActor:
    specs = Composite({k("observation"): Unbounded((3,))}), Composite({k("action"): Choice(4)})
    keys = {"action_value_key": k("action_value"), "chosen_action_value_key": k("chosen_action_value")}
    return QValueActor.from_spec(*specs, dueling=True, **keys)


def critic_of_specs(k: Place) -> ValueOperator:
    specs = Composite({k("observation"): Unbounded((3,))}), Composite({k("action"): Choice(4)})
    return ValueOperator.from_spec(*specs, out_keys=[k("state_action_value")])


def choosing_actor(kind: Any, k: Place) -> ProbabilisticActor:
    steps = net(3, 4, k, write="logits")
    return ProbabilisticActor(steps, [k("logits")], [k("action")], distribution_class=kind, return_log_prob=True)


def pointing_actor(kind: Any, k: Place) -> ProbabilisticActor:
    return ProbabilisticActor(net(3, 2, k, write="param"), [k("param")], [k("action")], distribution_class=kind)


def drawing(k: Place, kind: Any = IndependentNormal) -> ProbabilisticTensorDictModule:
    keys = {"loc": k("loc"), "scale": k("scale")}
    return ProbabilisticTensorDictModule(keys, [k("action")], distribution_class=kind, return_log_prob=True)


def value(k: Place, n_in: int = 3, read: str = "observation") -> ValueOperator:
    return ValueOperator(nn.Linear(n_in, 1), [k(read)], [k("state_value")])


def judge(k: Place) -> ValueOperator:
    return ValueOperator(MLP(8 + 2, 1), [k("hidden"), k("action")], [k("state_action_value")])


def act(k: Place) -> Actor:
    return Actor(nn.Linear(8, 2), [k("hidden")], [k("action")])


def atoms(k: Place) -> DistributionalQValueActor:
    network = nn.Sequential(nn.Linear(3, 20), nn.Unflatten(-1, (5, 4)))
    keys = {"action_value_key": k("action_value"), "action_key": k("action")}
    return DistributionalQValueActor(network, torch.linspace(-1.0, 1.0, 5), [k("observation")], OneHot(4), **keys)


def q_actor(k: Place) -> QValueActor:
    keys = {"action_value_key": k("action_value"), "action_key": k("action")}
    chosen = k("chosen_action_value")
    return QValueActor(
        nn.Linear(3, 4), in_keys=[k("observation")], spec=OneHot(4), chosen_action_value_key=chosen, **keys
    )


def greedy(spec: Any, k: Place, **keys: str) -> EGreedyModule:
    return EGreedyModule(spec, action_key=k("action"), **{name: k(key) for name, key in keys.items()})


def q_module(form: Any, k: Place, mask: str | None = None, **options: Any) -> QValueModule:
    keys = [k(key) for key in ("action", "action_value", "chosen_action_value")]
    return QValueModule(form, keys[1], None if mask is None else k(mask), keys, **options)


def q_atoms(k: Place) -> DistributionalQValueModule:
    keys = [k("action"), k("action_value")]
    return DistributionalQValueModule("categorical", torch.linspace(-1.0, 1.0, 5), keys[1], None, keys)


def recurrent(kind: Any, names: list[str], k: Place, **options: Any) -> TensorDictModuleBase:
    keys = [k("observation"), *map(k, names), k("is_init")]
    return kind(3, 4, in_keys=keys, out_key=k("features"), **options)


def sde(k: Place) -> gSDEModule:
    names = ("loc_key", "state_key", "is_init_key", "scale_key", "action_key", "noise_key", "log_prob_key")
    keys = ("loc", "observation", "is_init", "scale", "action", "noise", "log_prob")
    config = SDEConfig(**{name: k(key) for name, key in zip(names, keys, strict=True)})
    return gSDEModule(2, 3, return_log_prob=True, config=config)


def noise_process(k: Place, **options: Any) -> OrnsteinUhlenbeckProcessModule:
    keys = {"action_key": k("action"), "noise_key": k("noise"), "is_init_key": k("is_init")}
    return OrnsteinUhlenbeckProcessModule(BOX, **keys, **options)


def critic(k: Place) -> ValueOperator:
    """A critic for what reads "state_value", wherever the observation is."""
    return ValueOperator(nn.Linear(3, 1), [k("observation")])


def loss(kind: Callable[..., TensorDictModuleBase], k: Place, **options: Any) -> TensorDictModuleBase:
    return kind(choosing_actor(Categorical, k), critic(k), **options)


def running_norm(k: Place) -> RunningNorm:
    """Of observations [3] that have been seen: no mean is 0, and no variance 1."""
    norm = RunningNorm({k("observation"): Unbounded((3,))}, out_keys=[k("standard")], clip=1.5)
    norm.update(3.0 * STATES + 1.0)
    return norm


def actor_behind_a_norm(k: Place) -> ProbabilisticActor:
    seen = Composite({k("observation"): Unbounded((3,))})
    config = NetworkConfig(num_cells=(8,), observation_norm=running_norm(k))
    return ProbabilisticActor.from_spec(seen, Composite({k("action"): Choice(4)}), config=config)


def reward_scaling(k: Place) -> RewardScaling:
    scale = RewardScaling(num_envs=B, gamma=0.9, reward_key=k(("next", "reward")))
    key, going = k(("next", "reward")), torch.zeros(B, T, 1, dtype=torch.bool)
    scale.update(TensorDict({key: torch.randn(B, T, 1), (*key[:-1], "done"): going}, batch_size=[B, T]))
    return scale


def frame_stack(k: Place, **options: Any) -> FrameStack:
    keys = {"frames_key": k("frames"), "is_init_key": k("is_init")}
    return FrameStack(3, {k("observation"): Unbounded((3,))}, k("observation"), k("stack"), **keys, **options)


def quantiles(k: Place) -> QuantileQValueActor:
    network = nn.Sequential(nn.Linear(3, 20), nn.Unflatten(-1, (5, 4)))
    keys = {"action_value_key": k("action_value"), "action_key": k("action")}
    return QuantileQValueActor(network, 5, [k("observation")], OneHot(4), **keys)


def fold(td: TensorDict) -> TensorDict:
    return td


WRAPPED = {
    "dispatch": "its function takes a TensorDict",
    "compile": "runs whatever function it is given, on TensorDicts",
    "select_out_keys": "what its function writes is not its to choose",
}
RANDOM = {
    "deterministic": "acts at random under every exploration type",
    "threads": "has no exploration type",
    "spawn": "acts at random",
    "state_dict": "acts at random",
    "deepcopy": "acts at random",
    "functional": "acts at random",
    "batch_shapes": "acts at random",
    "select_out_keys": "acts at random",
    "nested": "acts at random",
    "precision": "the type of an action is its spec's",
    "meta": "the device of an action is its spec's",
}
DRAWN = {
    "batch_shapes": "its losses are of the whole batch",
    **dict.fromkeys(
        (
            *("deterministic", "threads", "spawn", "state_dict", "deepcopy", "functional", "select_out_keys", "nested"),
            *("dispatch", "compile", "vmap", "precision"),
        ),
        "draws actions under every exploration type",
    ),
}
SCORED = {"batch_shapes": "its losses are of the whole batch"}
TIMED = {"batch_shapes": "the last dimension of its batch is time", "gradients": "nothing here has a gradient"}


def along_time(*states: Tensor) -> tuple[Tensor, ...]:
    """What a recurrent module reads, of shape [B, T]: inputs, the states, and an episode that begins amid each row."""
    resets = torch.zeros(B, T, 1, dtype=torch.bool)
    resets[:, 2] = True
    repeated = [state.unsqueeze(1).expand(B, T, *state.shape[1:]) for state in states]
    return torch.randn(B, T, 3), *repeated, resets


def transitions() -> tuple[Tensor, ...]:
    """What estimators read, of shape [B, T]: both observations, the reward, and no episode that ends."""
    going = torch.zeros(B, T, 1, dtype=torch.bool)
    observations = STATES.unsqueeze(1).expand(B, T, 3)
    return observations, observations + 1.0, torch.ones(B, T, 1), going, going


def choices() -> tuple[Tensor, Tensor]:
    """What V-trace reads besides: the actions, and their old log-probabilities."""
    return torch.zeros(B, T, dtype=torch.int64), torch.full((B, T), -1.0)


def samples(*further: Tensor, old: bool = False, target: bool = True) -> tuple[Tensor, ...]:
    """What the losses of policies read: observation, action, old log-probability, advantage, target; which count."""
    log_prob = [torch.full((B,), -1.0)] * old
    advantage = torch.linspace(-1.0, 1.0, B).unsqueeze(-1)
    counts = torch.arange(B).unsqueeze(-1) > 0
    return STATES, INDEX, *log_prob, advantage, *[torch.ones(B, 1)] * target, *further, counts


def pushing(k: Place) -> Actor:
    return Actor(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), [k("observation")], [k("action")], spec=BOX)


class Still(TanhNormal):
    """Draws its median: what a loss computes of it can be repeated, bit for bit."""

    def rsample_and_log_prob(
        self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        action = self.deterministic_sample
        return action, self.log_prob(action)


def judges(k: Place) -> list[ValueOperator]:
    """Critics for what reads "state_action_value", wherever the observation and the action are."""
    reads = [k("observation"), k("action")]
    return [ValueOperator(MLP(5, 1, num_cells=[4]), reads, ["state_action_value"]) for _ in range(2)]


def choice_judge(k: Place) -> TensorDictModule:
    return TensorDictModule(nn.Linear(3, 4), [k("observation")], ["action_value"])


def pushed(action: Tensor = NUMBERS) -> tuple[Tensor, ...]:
    """What the losses of actors and critics read: both observations, the action, and what is known of the step."""
    ends = torch.arange(B).unsqueeze(-1) > 2
    return STATES, action, STATES + 1.0, torch.ones(B, 1), ends, torch.full((B, 1), 0.5), torch.ones(B), ends | True


def taken() -> tuple[Tensor, ...]:
    """What the losses of action values read: both observations, the action, and what is known of the step."""
    vector = torch.zeros(B, 4, dtype=torch.int64)
    vector[:, 1] = 1
    ends = torch.zeros(B, 1, dtype=torch.bool)
    return STATES, vector, STATES + 1.0, torch.ones(B, 1), ends, torch.full((B, 1), 0.5), torch.ones(B), ~ends


CASES = {
    "TensorDictModule": Case(
        lambda k: net(3, 2, k), (STATES,), lazy=lambda: TensorDictModule(nn.LazyLinear(2), ["observation"], ["hidden"])
    ),
    "TensorDictSequential": Case(
        lambda k: TensorDictSequential(net(3, 8, k), net(8, 2, k, "hidden", "q")),
        (STATES,),
        lazy=lambda: TensorDictSequential(
            TensorDictModule(nn.LazyLinear(8), ["observation"], ["hidden"]), net(8, 2, plain, "hidden", "q")
        ),
    ),
    "TensorDictSequential of groups": Case(
        lambda k: TensorDictSequential(
            WrapModule(fold, in_keys=[k("observation")], out_keys=[]), net(3, 8, k), net(8, 2, k, "hidden", "q")
        ),
        (STATES,),
        exempt={"compile": WRAPPED["compile"], "spawn": "its function is defined in a test"},
    ),
    "ProbabilisticTensorDictModule": Case(drawing, (NUMBERS, NUMBERS + 1.0), noisy=True),
    "ProbabilisticTensorDictSequential": Case(
        lambda k: ProbabilisticTensorDictSequential(located(k), drawing(k, TanhNormal)), (STATES,), noisy=True
    ),
    "ProbabilisticActor, normal": Case(partial(normal_actor, IndependentNormal), (STATES,), noisy=True),
    "ProbabilisticActor, tanh": Case(partial(normal_actor, TanhNormal, spec=BOX), (STATES,), noisy=True),
    "ProbabilisticActor, truncated": Case(partial(normal_actor, TruncatedNormal, spec=BOX), (STATES,), noisy=True),
    "ProbabilisticActor, safe": Case(
        partial(normal_actor, IndependentNormal, spec=BOX, safe=True), (STATES,), noisy=True
    ),
    "ProbabilisticActor, two draws": Case(partial(normal_actor, TanhNormal, num_samples=2), (STATES,), noisy=True),
    "ProbabilisticActor, several actions": Case(steer_and_gear, (STATES,), noisy=True),
    "ProbabilisticActor, categorical": Case(partial(choosing_actor, Categorical), (STATES,), noisy=True),
    "ProbabilisticActor, one-hot": Case(partial(choosing_actor, OneHotCategorical), (STATES,), noisy=True),
    "ProbabilisticActor, delta": Case(partial(pointing_actor, Delta), (STATES,)),
    "ProbabilisticActor, tanh-delta": Case(partial(pointing_actor, TanhDelta), (STATES,)),
    "Actor": Case(
        lambda k: Actor(nn.Linear(3, 2), [k("observation")], [k("action")]),
        (STATES,),
        lazy=lambda: Actor(nn.LazyLinear(2)),
    ),
    "ValueOperator": Case(value, (STATES,), lazy=lambda: ValueOperator(nn.LazyLinear(1))),
    "ValueOperator of actions": Case(
        lambda k: ValueOperator(MLP(5, 1), [k("observation"), k("action")], [k("state_action_value")]),
        (STATES, NUMBERS),
    ),
    "ValueOperator of specs": Case(critic_of_specs, (STATES, INDEX)),
    "QValueActor of specs": Case(q_actor_of_specs, (STATES,)),
    "ActorCriticWrapper": Case(
        lambda k: ActorCriticWrapper(normal_actor(TanhNormal, k), value(k)), (STATES,), noisy=True
    ),
    "ActorValueOperator": Case(lambda k: ActorValueOperator(net(3, 8, k), act(k), value(k, 8, "hidden")), (STATES,)),
    "ActorCriticOperator": Case(lambda k: ActorCriticOperator(net(3, 8, k), act(k), judge(k)), (STATES,)),
    "QValueModule": Case(partial(q_module, "one-hot"), (torch.randn(B, 4),)),
    "QValueModule, mask": Case(partial(q_module, "categorical", mask="m"), (torch.randn(B, 4), flags(4))),
    "QValueModule, several": Case(lambda k: q_module(None, k, spec=MultiDiscrete([2, 5])), (torch.randn(B, 7),)),
    "QValueModule, vectors": Case(lambda k: q_module("mult-one-hot", k, var_nums=[2, 5]), (torch.randn(B, 7),)),
    "QValueModule, bits": Case(partial(q_module, "binary"), (torch.randn(B, 7),)),
    "QValueActor": Case(q_actor, (STATES,)),
    "DistributionalQValueModule": Case(q_atoms, (torch.randn(B, 5, 4).log_softmax(-2),)),
    "DistributionalQValueActor": Case(atoms, (STATES,)),
    "QuantileQValueModule": Case(
        lambda k: QuantileQValueModule("categorical", 5, k("action_value"), None, [k("action"), k("action_value")]),
        (torch.randn(B, 5, 4),),
    ),
    "QuantileQValueActor": Case(quantiles, (STATES,)),
    "TanhModule": Case(lambda k: TanhModule([k("x")], low=[0.0, -1.0], high=10.0, clamp=True), (NUMBERS,)),
    "RandomPolicy": Case(lambda k: RandomPolicy(BOX, k("action")), (), noisy=True, exempt=RANDOM),
    "WrapModule": Case(
        lambda k: WrapModule(net(3, 2, k), in_keys=[k("observation")], out_keys=[k("hidden")]),
        (STATES,),
        exempt=WRAPPED,
    ),
    "as_tensordict_module": Case(
        lambda k: as_tensordict_module(in_keys=[k("x")], out_keys=[k("y")])(torch.sin),
        (NUMBERS,),
        exempt={"spawn": "is sent by the name that it has in its module, as a function is"},
    ),
    "EnsembleModule": Case(lambda k: EnsembleModule(value(k), 6), (STATES,)),
    "EnsembleModule of few": Case(lambda k: EnsembleModule(value(k), 2), (STATES,)),
    "EnsembleModule of noisy layers": Case(
        lambda k: EnsembleModule(TensorDictModule(NoisyLinear(3, 2), [k("x")], [k("y")]), 6), (STATES,), noisy=True
    ),
    "EnsembleModule of recurrent modules": Case(
        lambda k: EnsembleModule(recurrent(GRUModule, ["state"], k), 5), (STATES, torch.zeros(B, 5, 1, 4), ~FIRST)
    ),
    "EGreedyModule": Case(partial(greedy, Choice(4)), (INDEX,), noisy=True),
    "EGreedyModule, mask": Case(partial(greedy, Choice(4), action_mask_key="m"), (INDEX, flags(4)), noisy=True),
    "EGreedyModule, vector": Case(partial(greedy, OneHot(4)), (torch.zeros(B, 4),), noisy=True),
    "EGreedyModule, vector, mask": Case(
        partial(greedy, OneHot(4), action_mask_key="m"), (torch.zeros(B, 4), flags(4)), noisy=True
    ),
    "EGreedyModule, several": Case(partial(greedy, MultiDiscrete([2, 5])), (SEVERAL,), noisy=True),
    "EGreedyModule, several, mask": Case(
        partial(greedy, MultiDiscrete([2, 5]), action_mask_key="m"), (SEVERAL, flags(7)), noisy=True
    ),
    "EGreedyModule, bits": Case(partial(greedy, MultiBinary(3)), (torch.zeros(B, 3, dtype=torch.int8),), noisy=True),
    "EGreedyModule, value": Case(
        partial(greedy, Choice(4), action_value_key="q", chosen_action_value_key="chosen"),
        (INDEX, torch.zeros(B, 1), torch.randn(B, 4)),
        noisy=True,
    ),
    "AdditiveGaussianModule": Case(
        lambda k: AdditiveGaussianModule(BOX, action_key=k("action")), (NUMBERS,), noisy=True
    ),
    "OrnsteinUhlenbeckProcessModule": Case(noise_process, (NUMBERS, NUMBERS, FIRST), noisy=True),
    "OrnsteinUhlenbeckProcessModule, ageing": Case(
        lambda k: noise_process(k, sigma_min=0.1, x0="stationary", steps_key=k("steps")),
        (NUMBERS, NUMBERS, torch.zeros(B, 1, dtype=torch.int64), FIRST),
        noisy=True,
    ),
    "gSDEModule": Case(sde, (NUMBERS, STATES, torch.zeros(B, 2, 3), FIRST), noisy=True),
    "NoisyLinear": Case(lambda k: TensorDictModule(NoisyLinear(3, 2), [k("x")], [k("y")]), (STATES,), noisy=True),
    "GRUModule": Case(partial(recurrent, GRUModule, ["state"]), (STATES, torch.zeros(B, 1, 4), FIRST)),
    "GRUModule, layers": Case(
        lambda k: recurrent(GRUModule, ["state"], k, num_layers=2), (STATES, torch.zeros(B, 2, 4), ~FIRST)
    ),
    "GRUModule, sequences": Case(
        partial(recurrent, GRUModule, ["state"]),
        along_time(torch.zeros(B, 1, 4)),
        batch_dims=2,
        sequences=True,
        exempt={"batch_shapes": "the last dimension of its batch is time"},
    ),
    "LSTMModule": Case(
        partial(recurrent, LSTMModule, ["h", "c"]), (STATES, torch.zeros(B, 1, 4), torch.ones(B, 1, 4), ~FIRST)
    ),
    "LSTMModule, sequences": Case(
        lambda k: recurrent(LSTMModule, ["h", "c"], k, num_layers=2),
        along_time(torch.zeros(B, 2, 4), torch.ones(B, 2, 4)),
        batch_dims=2,
        sequences=True,
        exempt={"batch_shapes": "the last dimension of its batch is time"},
    ),
    "FrameStack": Case(frame_stack, (STATES, torch.randn(B, 2, 3), ~FIRST)),
    "FrameStack, first": Case(partial(frame_stack, padding="zero"), (STATES, torch.randn(B, 2, 3), FIRST)),
    "FrameStack, joined": Case(partial(frame_stack, dim=-1), (STATES, torch.randn(B, 2, 3), ~FIRST)),
    "FrameStack, sequences": Case(
        frame_stack,
        along_time(torch.randn(B, 2, 3)),
        batch_dims=2,
        sequences=True,
        exempt={"batch_shapes": "the last dimension of its batch is time"},
    ),
    "RunningNorm": Case(running_norm, (STATES,)),
    "RunningNorm of specs": Case(actor_behind_a_norm, (STATES,), noisy=True),
    "EnsembleModule of norms": Case(lambda k: EnsembleModule(running_norm(k), 5), (STATES,)),
    "RewardScaling": Case(reward_scaling, (torch.linspace(-1.0, 1.0, B).unsqueeze(-1),)),
    "RewardClip": Case(lambda k: RewardClip(-0.5, 0.5, reward_key=k(("next", "reward"))), (torch.randn(B, 1),)),
    "GAE": Case(lambda k: GAE(0.9, 0.8, critic(k)), (*transitions(), transitions()[3]), batch_dims=2, exempt=TIMED),
    "MonteCarlo": Case(lambda k: MonteCarlo(0.9), transitions()[2:], batch_dims=2, exempt=TIMED),
    "MonteCarlo, critic": Case(lambda k: MonteCarlo(0.9, critic(k)), transitions(), batch_dims=2, exempt=TIMED),
    "TD0Estimator": Case(lambda k: TD0Estimator(0.9, critic(k)), transitions(), batch_dims=2, exempt=TIMED),
    "TDLambdaEstimator": Case(
        lambda k: TDLambdaEstimator(0.9, 0.8, critic(k)), transitions(), batch_dims=2, exempt=TIMED
    ),
    "VTrace": Case(
        lambda k: VTrace(0.9, choosing_actor(Categorical, k), critic(k)),
        (*transitions(), *choices()),
        batch_dims=2,
        exempt=TIMED,
    ),
    "ClipPPOLoss": Case(partial(loss, ClipPPOLoss), samples(old=True), exempt=SCORED),
    "KLPENPPOLoss": Case(partial(loss, KLPENPPOLoss), samples(torch.zeros(B, 4), old=True), exempt=SCORED),
    "A2CLoss": Case(partial(loss, A2CLoss), samples(), exempt=SCORED),
    "ReinforceLoss": Case(
        lambda k: ReinforceLoss(choosing_actor(Categorical, k)), samples(target=False), exempt=SCORED
    ),
    "ReinforceLoss, critic": Case(partial(loss, ReinforceLoss), samples(), exempt=SCORED),
    "BCLoss": Case(
        lambda k: BCLoss(choosing_actor(Categorical, k)), (STATES, INDEX, torch.arange(B).view(B, 1) > 0), exempt=SCORED
    ),
    "BCLoss, distance": Case(
        lambda k: BCLoss(Actor(nn.Linear(3, 2), [k("observation")], [k("action")])),
        (STATES, NUMBERS, torch.arange(B).view(B, 1) > 0),
        exempt=SCORED,
    ),
    "DDPGLoss": Case(lambda k: DDPGLoss(pushing(k), judges(k)[:1]), pushed(), exempt=SCORED),
    "TD3Loss": Case(lambda k: TD3Loss(pushing(k), judges(k), policy_noise=0.0), pushed(), exempt=SCORED),
    "SACLoss": Case(lambda k: SACLoss(normal_actor(Still, k), judges(k)), pushed(), exempt=SCORED),
    "CQLLoss": Case(
        lambda k: CQLLoss(normal_actor(TanhNormal, k, spec=BOX), judges(k)), pushed(), noisy=True, exempt=DRAWN
    ),
    "DiscreteSACLoss": Case(
        lambda k: DiscreteSACLoss(choosing_actor(Categorical, k), choice_judge(k)), pushed(INDEX), exempt=SCORED
    ),
    "IQLLoss": Case(
        lambda k: IQLLoss(normal_actor(IndependentNormal, k), judges(k), critic(k)), pushed(), exempt=SCORED
    ),
    "DQNLoss": Case(lambda k: DQNLoss(q_actor(k)), taken(), exempt=SCORED),
    "DistributionalDQNLoss": Case(lambda k: DistributionalDQNLoss(atoms(k)), taken(), exempt=SCORED),
    "QuantileDQNLoss": Case(lambda k: QuantileDQNLoss(quantiles(k)), taken(), exempt=SCORED),
}


class TestEveryModule(KeyModuleConformance):
    """The checks of the kit, for one module after the other."""

    case: Case

    @pytest.fixture(autouse=True, params=CASES.values(), ids=CASES)
    def _case(self, request):
        self.case = request.param
        with set_recurrent_mode(self.case.sequences):
            yield

    @property
    def exempt(self):
        return self.case.exempt

    @property
    def noisy(self):
        return self.case.noisy

    @property
    def batch_dims(self):
        return self.case.batch_dims

    def make(self):
        return self.case.make(plain)

    def inputs(self):
        keys = self.make().in_keys
        if not keys:
            return TensorDict(batch_size=[B])
        return dict(zip(keys, self.case.inputs, strict=True))

    def make_nested(self):
        return self.case.make(nested)

    def make_lazy(self):
        return None if self.case.lazy is None else self.case.lazy()


def key_modules() -> dict[str, type]:
    """The exported classes that can be made: neither the base of all nor an abstract one."""
    abstract = {"TensorDictModuleBase", "ExplorationModule"}
    rooms = (keywork.nn, keywork.modules, keywork.objectives)
    return {
        name: thing
        for room in rooms
        for name in room.__all__
        if isinstance(thing := getattr(room, name), type) and issubclass(thing, TensorDictModuleBase)
        if name not in abstract
    }


def test_every_exported_key_module_has_a_case():
    lacking = set(key_modules()) - {type(case.make(plain)).__name__ for case in CASES.values()}
    assert not lacking, (
        f"{', '.join(sorted(lacking))} is exported and not put through the conformance kit: add a line to CASES in "
        "tests/modules/test_every_module.py, of how it is made under keys that k places, and what it is fed"
    )
    assert len(key_modules()) > 20


@pytest.mark.parametrize("name", CASES)
def test_an_exemption_is_of_a_check_and_has_a_reason(name):
    for check, reason in CASES[name].exempt.items():
        assert hasattr(KeyModuleConformance, f"test_{check}") and reason
