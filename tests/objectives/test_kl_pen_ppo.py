import pytest
import torch
from tensordict import TensorDict
from torch import nn
from torch.distributions import Distribution, Normal, constraints

from keywork._errors import UsageError
from keywork.distributions import Categorical
from keywork.modules import ProbabilisticActor, ValueOperator
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import KLPENPPOLoss


def actor(**options):
    net = TensorDictModule(nn.Linear(3, 2), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True, **options)


def critic():
    return ValueOperator(nn.Linear(3, 1))


@pytest.mark.parametrize(
    ("kl", "beta"),
    # between 2/3 and 3/2 of the target of 0.03 nothing changes
    [(0.0, 0.5), (0.019, 0.5), (0.021, 1.0), (0.03, 1.0), (0.044, 1.0), (0.046, 2.0), (9.0, 2.0)],
)
def test_beta_follows_the_divergence(kl, beta):
    loss = KLPENPPOLoss(actor(), critic(), kl_target=0.03)
    loss.adapt(kl)
    assert loss.beta.item() == beta
    loss.adapt(torch.tensor(kl, dtype=torch.float64))
    assert loss.beta.item() == beta**2


def test_beta_is_saved_and_moved_with_the_rest():
    loss, other = KLPENPPOLoss(actor(), critic(), beta=3.0), KLPENPPOLoss(actor(), critic())
    loss.adapt(1.0)
    other.load_state_dict(loss.state_dict())
    assert other.beta.item() == 6.0
    assert loss.double().beta.dtype is torch.float64


def test_a_call_leaves_beta_alone():
    policy = actor()
    loss = KLPENPPOLoss(policy, critic(), kl_target=1e-6)
    td = policy(TensorDict(observation=torch.randn(8, 3), batch_size=[8])).detach()
    td["advantage"], td["value_target"] = torch.ones(8, 1), torch.ones(8, 1)
    with torch.no_grad():
        policy[0].module.weight.add_(1.0).mul_(2.0)
    assert loss(td)["kl"] > 1e-3
    assert loss.beta.item() == 1.0


def test_the_penalty_keeps_the_policy_near():
    """With a large beta a step against it costs more than the advantage brings."""
    distances = []
    for beta in (1e-6, 10.0):
        torch.manual_seed(0)
        policy = actor()
        loss = KLPENPPOLoss(policy, critic(), beta=beta, entropy_coeff=0.0)
        td = policy(TensorDict(observation=torch.randn(64, 3), batch_size=[64])).detach()
        td["advantage"], td["value_target"] = 2.0 * td["action"].unsqueeze(-1).float() - 1.0, torch.zeros(64, 1)
        optimiser = torch.optim.SGD(policy.parameters(), 0.05)
        for _ in range(50):
            optimiser.zero_grad()
            out = loss(td)
            (out["loss_objective"] + out["loss_kl"]).backward()
            optimiser.step()
        distances.append(loss(td)["kl"].item())
    assert distances[1] < 0.1 * distances[0]


class Unnamed(Distribution):
    """A normal distribution of which torch knows no divergence."""

    arg_constraints = {}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc, scale):
        self.base = Normal(loc.squeeze(-1), scale.squeeze(-1))
        super().__init__(self.base.batch_shape, validate_args=False)

    def rsample(self, sample_shape=()):
        return self.base.rsample(sample_shape)

    def log_prob(self, value):
        return self.base.log_prob(value)

    def entropy(self):
        return self.base.entropy()


def test_a_divergence_that_is_unknown_is_estimated_from_the_actions():
    torch.manual_seed(0)
    net = TensorDictModule(lambda x: (x, torch.ones_like(x)), ["observation"], ["loc", "scale"])
    shift = TensorDictModule(nn.Linear(1, 1), ["seen"], ["observation"])
    policy = ProbabilisticActor(
        [shift, net], ["loc", "scale"], distribution_class=Unnamed, return_log_prob=True
    ).double()
    loss = KLPENPPOLoss(policy, ValueOperator(nn.Linear(1, 1), ["seen"]).double(), beta=2.0)
    td = policy(TensorDict(seen=torch.zeros(20_000, 1, dtype=torch.float64), batch_size=[20_000])).detach()
    td["advantage"] = td["value_target"] = torch.zeros(20_000, 1, dtype=torch.float64)
    with torch.no_grad():
        shift.module.bias += 0.2
    out = loss(td)
    ratio = torch.exp(Normal(shift.module.bias, 1.0).log_prob(td["action"]) - td["sample_log_prob"])
    torch.testing.assert_close(out["kl"], (ratio - 1.0 - ratio.log()).mean().detach())
    # KL = 0.2² / 2 = 0.02, and its derivative by the mean is 0.2: twice that, for beta
    assert out["kl"].item() == pytest.approx(0.02, abs=0.001)
    assert torch.autograd.grad(out["loss_kl"], shift.module.bias)[0].item() == pytest.approx(0.4, abs=0.03)


def test_the_old_parameters_are_constants_and_read_by_the_last_step_of_the_last_step():
    policy = actor()
    td = policy(TensorDict(observation=torch.randn(4, 3), batch_size=[4])).detach()
    td["advantage"] = td["value_target"] = torch.zeros(4, 1)
    td["logits"].requires_grad_()
    nested = TensorDictSequential(policy)
    assert not hasattr(nested, "dist_of")  # it would have to say so itself
    out = KLPENPPOLoss(policy, critic())(td)
    assert torch.autograd.grad(out["loss_kl"], td["logits"], allow_unused=True) == (None,)


def test_an_actor_that_drops_its_parameters_is_refused():
    policy = actor()
    policy.select_out_keys("action")
    with pytest.raises(ValueError) as error:
        KLPENPPOLoss(policy, critic())
    assert str(error.value) == (
        "KLPENPPOLoss cannot be built: 2 findings.\n"
        "1. it reads 'sample_log_prob', which its actor (ProbabilisticActor) does not write.\n"
        "   provided: it writes 'action'\n"
        "   pass return_log_prob=True to it.\n"
        "2. it reads 'logits', which its actor (ProbabilisticActor) does not keep.\n"
        "   provided: it writes 'action'\n"
        "   keep the parameters of its distribution: select_out_keys(..., 'logits')."
    )


@pytest.mark.parametrize("name", ["beta", "kl_target"])
@pytest.mark.parametrize("number", [-1.0, 0.0, float("nan")])
def test_numbers_that_are_not_above_zero_are_refused_when_built(name, number):
    with pytest.raises(UsageError, match=f"KLPENPPOLoss cannot be built: {name} is out of range"):
        KLPENPPOLoss(actor(), critic(), **{name: number})
