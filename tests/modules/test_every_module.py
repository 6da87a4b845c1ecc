"""What holds for every module that acts, explores or judges: compiled, vectorised, copied, sent, in other types."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor, nn

from keywork.modules import (
    Actor,
    ActorCriticOperator,
    AdditiveGaussianModule,
    DistributionalQValueActor,
    EGreedyModule,
    EnsembleModule,
    NoisyLinear,
    OrnsteinUhlenbeckProcessModule,
    QValueActor,
    QValueModule,
    TanhModule,
    ValueOperator,
    gSDEModule,
)
from keywork.nets import MLP
from keywork.nn import TensorDictModule, TensorDictModuleBase, set_exploration_type
from keywork.specs import Bounded, Categorical, MultiBinary, MultiDiscrete, OneHot

B = 5
INDEX = torch.zeros(B, dtype=torch.int64)
NUMBERS = torch.zeros(B, 2)
FIRST = torch.ones(B, 1, dtype=torch.bool)
BOX = Bounded(-1.0, 1.0, (2,))


@dataclass
class Case:
    make: Callable[[], TensorDictModuleBase]
    inputs: tuple[Tensor, ...]
    noisy: bool = True


def flags(n: int) -> Tensor:
    return torch.ones(B, n, dtype=torch.bool)


def operator() -> ActorCriticOperator:
    trunk = TensorDictModule(nn.Linear(3, 8), ["observation"], ["hidden"])
    critic = ValueOperator(MLP(8 + 2, 1), ["hidden", "action"])
    return ActorCriticOperator(trunk, Actor(nn.Linear(8, 2), ["hidden"]), critic)


def atoms() -> DistributionalQValueActor:
    net = nn.Sequential(nn.Linear(3, 20), nn.Unflatten(-1, (5, 4)))
    return DistributionalQValueActor(net, torch.linspace(-1.0, 1.0, 5), spec=OneHot(4))


CASES = {
    "EGreedy index": Case(lambda: EGreedyModule(Categorical(4)), (INDEX,)),
    "EGreedy index, mask": Case(lambda: EGreedyModule(Categorical(4), action_mask_key="m"), (INDEX, flags(4))),
    "EGreedy vector": Case(lambda: EGreedyModule(OneHot(4)), (torch.zeros(B, 4),)),
    "EGreedy vector, mask": Case(lambda: EGreedyModule(OneHot(4), action_mask_key="m"), (torch.zeros(B, 4), flags(4))),
    "EGreedy several": Case(lambda: EGreedyModule(MultiDiscrete([2, 5])), (INDEX.unsqueeze(-1).expand(B, 2),)),
    "EGreedy several, mask": Case(
        lambda: EGreedyModule(MultiDiscrete([2, 5]), action_mask_key="m"), (INDEX.unsqueeze(-1).expand(B, 2), flags(7))
    ),
    "EGreedy bits": Case(lambda: EGreedyModule(MultiBinary(3)), (torch.zeros(B, 3, dtype=torch.int8),)),
    "EGreedy, value": Case(
        lambda: EGreedyModule(Categorical(4), action_value_key="q"), (INDEX, torch.zeros(B, 1), torch.randn(B, 4))
    ),
    "AdditiveGaussian": Case(lambda: AdditiveGaussianModule(BOX), (NUMBERS,)),
    "OrnsteinUhlenbeck": Case(lambda: OrnsteinUhlenbeckProcessModule(BOX), (NUMBERS, NUMBERS, FIRST)),
    "OrnsteinUhlenbeck, ageing": Case(
        lambda: OrnsteinUhlenbeckProcessModule(BOX, sigma_min=0.1, x0="stationary"),
        (NUMBERS, NUMBERS, torch.zeros(B, 1, dtype=torch.int64), FIRST),
    ),
    "gSDE": Case(
        lambda: gSDEModule(2, 3, return_log_prob=True), (NUMBERS, torch.randn(B, 3), torch.zeros(B, 2, 3), FIRST)
    ),
    "NoisyLinear": Case(lambda: TensorDictModule(NoisyLinear(3, 2), ["x"], ["y"]), (torch.randn(B, 3),)),
    "QValue, mask": Case(
        lambda: QValueModule("categorical", action_mask_key="m"), (torch.randn(B, 4), flags(4)), noisy=False
    ),
    "QValue several": Case(lambda: QValueModule(spec=MultiDiscrete([2, 5])), (torch.randn(B, 7),), noisy=False),
    "QValue vectors": Case(lambda: QValueModule("mult-one-hot", var_nums=[2, 5]), (torch.randn(B, 7),), noisy=False),
    "QValue bits": Case(lambda: QValueModule("binary"), (torch.randn(B, 7),), noisy=False),
    "QValueActor": Case(lambda: QValueActor(nn.Linear(3, 4), spec=OneHot(4)), (torch.randn(B, 3),), noisy=False),
    "DistributionalQValueActor": Case(atoms, (torch.randn(B, 3),), noisy=False),
    "Tanh": Case(lambda: TanhModule("x", low=[0.0, -1.0], high=10.0, clamp=True), (NUMBERS,), noisy=False),
    "ActorCriticOperator": Case(operator, (torch.randn(B, 3),), noisy=False),
    "Ensemble": Case(lambda: EnsembleModule(ValueOperator(nn.Linear(3, 1)), 6), (torch.randn(B, 3),), noisy=False),
    "Ensemble of few": Case(
        lambda: EnsembleModule(ValueOperator(nn.Linear(3, 1)), 2), (torch.randn(B, 3),), noisy=False
    ),
    "Ensemble of noisy layers": Case(
        lambda: EnsembleModule(TensorDictModule(NoisyLinear(3, 2), ["x"], ["y"]), 6), (torch.randn(B, 3),)
    ),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def like(outputs: tuple[Tensor, ...]) -> list[tuple[torch.Size, torch.dtype]]:
    return [(output.shape, output.dtype) for output in outputs]


@every
def test_compiles_as_one_graph_under_every_exploration_type(case: Case):
    torch._dynamo.reset()
    module = case.make()
    expected = like(module.compute(*case.inputs))
    compiled = torch.compile(module.compute, fullgraph=True, backend="eager")
    assert like(compiled(*case.inputs)) == expected
    with set_exploration_type("deterministic"):
        for ours, theirs in zip(module.compute(*case.inputs), compiled(*case.inputs), strict=True):
            torch.testing.assert_close(ours, theirs)
    if case.noisy:
        assert not all(torch.equal(a, b) for a, b in zip(*(compiled(*case.inputs) for _ in range(2)), strict=True))


@every
@pytest.mark.parametrize("randomness", ["same", "different"])
def test_runs_in_vmap_with_both_kinds_of_randomness(case: Case, randomness: str):
    module, inputs = case.make(), [torch.stack([x] * 40) for x in case.inputs]
    outputs = torch.vmap(module.compute, randomness=randomness)(*inputs)
    assert like([output[0] for output in outputs]) == like(module.compute(*case.inputs))
    repeated = all(torch.equal(output, output[:1].expand_as(output)) for output in outputs)
    assert repeated == (randomness == "same" or not case.noisy)


@every
def test_copies_and_what_is_sent_to_a_process_do_the_same(case: Case):
    module = case.make()
    with set_exploration_type("deterministic"):
        expected = module.compute(*case.inputs)
        for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert all(torch.equal(a, b) for a, b in zip(other.compute(*case.inputs), expected, strict=True))
    fresh = case.make()
    fresh.load_state_dict(module.state_dict())
    with set_exploration_type("deterministic"):
        assert all(torch.equal(a, b) for a, b in zip(fresh.compute(*case.inputs), expected, strict=True))


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_runs_in_another_precision(case: Case, dtype: torch.dtype):
    module = case.make().to(dtype)
    inputs = [x.to(dtype) if x.is_floating_point() else x for x in case.inputs]
    for output in module.compute(*inputs):
        assert output.dtype in (dtype, torch.float32) or not output.is_floating_point()
        assert output.isfinite().all()


@every
def test_never_looks_at_a_value_where_an_accelerator_would_have_to_wait(case: Case):
    # Tensors without values, such as these, raise where somebody looks.
    outputs = case.make().to("meta").compute(*[x.to("meta") for x in case.inputs])
    assert all(output.is_meta for output in outputs)


@every
def test_is_called_on_a_tensordict_and_on_tensors_alike(case: Case):
    module = case.make()
    td = TensorDict(dict(zip(module.in_keys, case.inputs, strict=True)), batch_size=[B])
    with set_exploration_type("mode"):
        outputs = module(*case.inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        module(td)
    for key, output in zip(module.out_keys, outputs, strict=True):
        assert torch.equal(td[key], output)
