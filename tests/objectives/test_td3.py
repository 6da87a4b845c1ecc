import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, UsageError
from keywork.modules import Actor, EnsembleModule, ValueOperator
from keywork.nets import MLP
from keywork.objectives import TD3Loss
from keywork.specs import Bounded, Categorical, Unbounded

F64 = torch.float64
SPEC = Bounded([-1.0, 0.0], [1.0, 4.0])


def actor(spec=SPEC) -> Actor:
    return Actor(nn.Linear(3, 2), spec=spec)


def critic() -> ValueOperator:
    return ValueOperator(MLP(5, 1, num_cells=[4]), ["observation", "action"])


def batch(size: int = 6) -> TensorDict:
    following = {
        "observation": torch.randn(size, 3, dtype=F64),
        "reward": torch.randn(size, 1, dtype=F64),
        "terminated": torch.arange(size).reshape(size, 1) % 3 == 0,
    }
    here = {"observation": torch.randn(size, 3, dtype=F64), "action": torch.rand(size, 2, dtype=F64)}
    return TensorDict({**here, "next": following}, [size])


def trained(loss: nn.Module) -> list[nn.Parameter]:
    return [p for p in loss.parameters() if p.requires_grad]


def test_losses_and_gradients_equal_those_of_an_independent_float64_computation():
    torch.manual_seed(0)
    loss, td = TD3Loss(actor(), critic(), gamma=0.9, policy_noise=0.4, noise_clip=0.3).double(), batch()
    for _, target in loss.targets:
        for parameter in target.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    torch.manual_seed(7)
    out = loss(td)
    ours = torch.autograd.grad(out["loss_actor"] + out["loss_qvalue"], trained(loss))

    mu, mu_target = loss.actor.module, loss.target_actor.module
    q1, q2 = (each.module for each in loss.qvalue_network)
    t1, t2 = (each.module for each in loss.target_qvalue_network)
    obs, ahead = td["observation"], td["next", "observation"]
    torch.manual_seed(7)
    noise = torch.clip(0.4 * torch.randn(6, 2, dtype=F64), -0.3, 0.3) * torch.tensor([1.0, 2.0])  # half the ranges
    a = mu_target(ahead) + noise
    a = torch.stack([a[:, 0].clip(-1.0, 1.0), a[:, 1].clip(0.0, 4.0)], -1)
    goes_on = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 1.0], dtype=F64)[:, None]
    x = torch.cat([ahead, a], -1)
    target = (td["next", "reward"] + 0.9 * goes_on * torch.min(t1(x), t2(x))).detach()
    x = torch.cat([obs, td["action"]], -1)
    q_loss = ((q1(x) - target) ** 2).mean() + ((q2(x) - target) ** 2).mean()
    actor_loss = -q1(torch.cat([obs, mu(obs)], -1)).mean()
    torch.testing.assert_close(out["loss_qvalue"], q_loss)
    torch.testing.assert_close(out["loss_actor"], actor_loss)
    error = ((q1(x) - target).abs() + (q2(x) - target).abs())[:, 0] / 2
    torch.testing.assert_close(out["td_error"], error.detach())
    own, others = list(loss.actor.parameters()), list(loss.qvalue_network.parameters())
    theirs = [*torch.autograd.grad(actor_loss, own, retain_graph=True), *torch.autograd.grad(q_loss, others)]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_next_action_stays_near_the_actors_and_within_the_bounds():
    loss = TD3Loss(actor(), critic(), policy_noise=100.0, noise_clip=0.25)
    moved = loss._smoothed("action", torch.zeros(200, 2))
    # Half the ranges are 1 and 2: moved by 0.25 and 0.5, but not below the bound of 0. A noise of 100 is nearly
    # always clipped.
    assert moved[:, 0].unique().tolist()[0] == -0.25 and moved[:, 0].amax() == 0.25
    assert moved[:, 1].amin() == 0.0 and moved[:, 1].amax() == 0.5
    free = TD3Loss(actor(Unbounded((2,))), critic(), policy_noise=100.0, noise_clip=0.25)
    moved = free._smoothed("action", torch.zeros(200, 2))
    assert moved.amin() == -0.25 and moved.amax() == 0.25


def test_an_ensemble_equals_a_list_of_its_members():
    several = [critic(), critic()]
    policy, td = actor(), batch().apply(lambda x: x.float() if x.is_floating_point() else x)
    one = TD3Loss(policy, several, policy_noise=0.0)
    other = TD3Loss(policy, EnsembleModule(several), policy_noise=0.0)
    for key, value in one(td).items():
        torch.testing.assert_close(other(td)[key], value)


def test_each_term_moves_only_its_own_networks():
    loss, td = TD3Loss(actor(), critic()).double(), batch()
    for term, network in (
        (loss.qvalue_terms(*loss.read(td)).loss, loss.qvalue_network),
        (loss.actor_terms(*loss.read(td)).loss, loss.actor),
    ):
        found = torch.autograd.grad(term, trained(loss), allow_unused=True)
        moved = {id(p) for p, g in zip(trained(loss), found, strict=True) if g is not None}
        assert moved == {id(p) for p in network.parameters()}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (None, "nobody has said within what bounds 'action' is.\n   provided: the actor has no spec of it"),
        (Categorical(2), "'action' is no vector of real numbers, and is to be moved a little."),
    ],
)
def test_without_bounds_it_is_refused(spec, said):
    with pytest.raises(ContractError) as caught:
        TD3Loss(actor(spec), critic())
    assert said in str(caught.value) and [each.kind for each in caught.value.findings] == ["no-bounds"]


def test_the_spec_can_be_given():
    low, high = TD3Loss(actor(None), critic(), action_spec={"action": SPEC}).bounds.of("action")
    assert low.tolist() == [-1.0, 0.0] and high.tolist() == [1.0, 4.0]


@pytest.mark.parametrize("name", ["policy_noise", "noise_clip"])
def test_numbers_out_of_range_are_refused(name):
    with pytest.raises(UsageError, match=f"{name} is out of range"):
        TD3Loss(actor(), critic(), **{name: -1.0})


def test_noise_is_finite_and_its_limit_need_not_be():
    with pytest.raises(UsageError, match=r"policy_noise is out of range.*\n.*\n.*a finite number from zero on"):
        TD3Loss(actor(), critic(), policy_noise=math.inf)
    assert TD3Loss(actor(), critic(), noise_clip=math.inf).noise_clip == math.inf
