"""What every distribution does: shapes, joint scores, expand, vmap, compile, half precision, checks."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from keywork._errors import SpecError
from keywork.distributions import Categorical, Delta, IndependentNormal, OneHotCategorical, TanhDelta, TanhNormal

POINTS = Delta | TanhDelta  # of these every sample is the same


def everything(dist):
    """Each tensor that a distribution can be asked for."""
    sample = dist.sample()
    joint = dist.sample_and_log_prob()
    reparameterised = dist.rsample_and_log_prob((2,)) if dist.has_rsample else ()
    values = (dist.mode, dist.mean, dist.deterministic_sample, dist.sample((7,)))
    return (sample, dist.log_prob(sample), dist.entropy(), *joint, *reparameterised, *values)


def test_it_is_a_torch_distribution_with_the_shapes_of_its_parameters(case):
    dist = case.dist()
    assert isinstance(dist, torch.distributions.Distribution)
    assert (dist.batch_shape, dist.event_shape) == ((5, 3), case.event)
    assert isinstance(dist.batch_shape, torch.Size) and isinstance(dist.event_shape, torch.Size)
    for value in (dist.sample(), dist.mode, dist.mean, dist.deterministic_sample):
        assert value.shape == (5, 3, *case.event)
        assert dist.log_prob(value).shape == (5, 3)
    assert dist.sample((7, 6)).shape == (7, 6, 5, 3, *case.event)
    assert dist.log_prob(dist.sample((7, 6))).shape == (7, 6, 5, 3)
    assert dist.entropy().shape == (5, 3)


def test_every_sample_and_noise_free_action_is_inside_the_support(case):
    dist = case.dist(validate_args=True)
    for value in (dist.sample((500,)), dist.mode, dist.mean, dist.deterministic_sample):
        assert dist.support.check(value).all()
        dist.log_prob(value)


def test_the_noise_free_actions_are_the_same_each_time(case):
    dist = case.dist()
    for name in ("mode", "mean", "deterministic_sample"):
        assert torch.equal(getattr(dist, name), getattr(dist, name))


def test_the_joint_score_is_the_score_of_the_sample(case):
    dist = case.dist(torch.float64)
    for sample_shape in ((), (4,)):
        value, log_prob = dist.sample_and_log_prob(sample_shape)
        assert not value.requires_grad
        torch.testing.assert_close(log_prob, dist.log_prob(value))


def test_a_generator_decides_the_sample(case):
    dist = case.dist()
    draws = [dist.sample_and_log_prob((3,), generator=torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)]
    torch.manual_seed(0)
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], dist.sample((3,), generator=torch.Generator().manual_seed(1)))
    assert isinstance(dist, POINTS) or not torch.equal(draws[0], draws[2])


def test_expand_repeats_the_distribution(case):
    dist = case.dist()
    expanded = dist.expand((2, 5, 3))
    assert type(expanded) is type(dist)
    assert (expanded.batch_shape, expanded.event_shape) == ((2, 5, 3), case.event)
    value = dist.sample()
    expected = dist.log_prob(value).expand(2, 5, 3)
    torch.testing.assert_close(expanded.log_prob(value.expand(2, *value.shape)), expected)
    torch.testing.assert_close(expanded.mode, dist.mode.expand(2, *dist.mode.shape))
    torch.testing.assert_close(expanded.entropy(), dist.entropy().expand(2, 5, 3))
    assert expanded.sample().shape == (2, 5, 3, *case.event)


@pytest.mark.parametrize("randomness", ["different", "same"])
def test_vmap_works_with_both_kinds_of_randomness(case, randomness):
    def call(*params):
        return everything(case.build(*params))

    outputs = torch.vmap(call, randomness=randomness)(*case.params)
    for output, reference in zip(outputs, everything(case.dist()), strict=True):
        assert sorted(output.shape) == sorted(reference.shape) and output.dtype == reference.dtype


@pytest.mark.parametrize(("randomness", "equal"), [("different", False), ("same", True)])
def test_vmap_over_something_else_still_draws_as_asked(case, randomness, equal):
    def call(_):
        return case.dist().sample()

    draws = torch.vmap(call, randomness=randomness)(torch.arange(4))
    assert draws.shape == (4, 5, 3, *case.event)
    same = all(torch.equal(draws[0], draw) for draw in draws)
    assert same is (equal or isinstance(case.dist(), POINTS))


def test_the_vmapped_log_prob_is_the_batched_one(case):
    value = case.dist().sample()
    mapped = torch.vmap(lambda value, *params: case.build(*params).log_prob(value))(value, *case.params)
    torch.testing.assert_close(mapped, case.dist().log_prob(value))


def test_it_compiles_to_one_graph(case):
    def call(*params):
        return everything(case.build(*params))

    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend="eager")
    torch.manual_seed(0)
    expected = call(*case.params)
    torch.manual_seed(0)
    for output, reference in zip(compiled(*case.params), expected, strict=True):
        torch.testing.assert_close(output, reference)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_in_float32_and_samples_in_its_own_type(case, dtype):
    dist = case.dist(dtype)
    sample, log_prob = dist.sample_and_log_prob()
    for value in (sample, dist.mode, dist.mean, dist.deterministic_sample):
        assert value.dtype == (torch.int64 if dist.support.is_discrete else dtype)
    if isinstance(dist, POINTS):
        return
    assert log_prob.dtype == dist.log_prob(sample).dtype == dist.entropy().dtype == torch.float32
    full = case.dist(dtype).expand((5, 3))
    assert full.log_prob(sample).isfinite().all()
    # The parameters are what is rounded, not the score: the same rounded parameters in float64 agree.
    exact = case.build(*[param.to(dtype).double() for param in case.params])
    torch.testing.assert_close(dist.log_prob(sample).double(), exact.log_prob(sample), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dist.entropy().double(), exact.entropy(), atol=1e-4, rtol=1e-4)


def test_gradients_reach_every_parameter(case):
    params = [param.clone().requires_grad_() for param in case.params]
    dist = case.build(*params)
    if isinstance(dist, POINTS):
        total = dist.rsample().sum()
    else:
        total = dist.log_prob(dist.sample()).sum() + dist.entropy().sum()
    for gradient in torch.autograd.grad(total, params):
        assert gradient.isfinite().all() and gradient.abs().sum() > 0


def test_the_gradient_of_the_joint_score_is_that_of_the_score(case):
    """sample_and_log_prob holds the action fast: the score function, as log_prob of the sample has it."""
    params = [param.double().requires_grad_() for param in case.params]
    dist = case.build(*params)
    value, log_prob = dist.sample_and_log_prob()
    if isinstance(dist, POINTS):
        assert not log_prob.requires_grad
        return
    joint = torch.autograd.grad(log_prob.sum(), params, retain_graph=True)
    separate = torch.autograd.grad(dist.log_prob(value).sum(), params)
    torch.testing.assert_close(joint, separate)


@pytest.mark.parametrize("shape", [(1,), (4,), (5,), (5, 1), (3, 5)])
def test_a_value_that_would_be_broadcast_is_refused(case, shape):
    dist = case.dist()
    value = torch.zeros(*shape, *case.event, dtype=dist.sample().dtype)
    with pytest.raises(SpecError, match="cannot score a value of shape"):
        dist.log_prob(value)


def test_the_message_for_a_wrong_shape():
    dist = Categorical(logits=torch.zeros(8, 3))
    with pytest.raises(SpecError) as error:
        dist.log_prob(torch.zeros(8, 1, dtype=torch.int64))
    assert str(error.value) == (
        "Categorical.log_prob cannot score a value of shape [8, 1]: its batch shape [8] and event shape [] ask for "
        "[..., 8]. Reshape the value, or expand() the distribution."
    )
    with pytest.raises(SpecError, match=r"cannot score a float: it takes a tensor of shape \[\.\.\., 8\]"):
        dist.log_prob(1.0)


def test_values_are_checked_only_when_asked_for():
    loc, scale = torch.zeros(2, 3), torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0]])
    for kind in (IndependentNormal, TanhNormal):
        kind(loc, scale)
        with pytest.raises(SpecError) as error:
            kind(loc, scale, validate_args=True)
        assert str(error.value) == (
            f"{kind.__name__}: scale of shape [2, 3] is invalid at 2 of 6 places; the first is index [1, 1], with "
            "-1.0. It must satisfy GreaterThan(lower_bound=0.0)."
        )
        with pytest.raises(SpecError, match="loc of shape"):
            kind(torch.full((2,), torch.nan), torch.ones(2), validate_args=True)


def test_a_scored_value_is_checked_only_when_asked_for():
    loc = torch.zeros(2, 3)
    action = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.5, 0.0]])
    TanhNormal(loc, loc + 1).log_prob(action)
    with pytest.raises(
        SpecError, match=r"value of shape \[2, 3\] is invalid at 1 of 2 places; the first is index \[1\]"
    ):
        TanhNormal(loc, loc + 1, validate_args=True).log_prob(action)
    with pytest.raises(SpecError, match="value of shape"):
        Categorical(logits=loc, validate_args=True).log_prob(torch.tensor([0, 3]))
    with pytest.raises(SpecError, match="value of shape"):
        OneHotCategorical(logits=loc, validate_args=True).log_prob(torch.tensor([[1, 0, 0], [1, 1, 0]]))


def test_torchs_process_wide_default_is_left_alone():
    """Importing the package must not switch validation off for every other user of torch (torch.compile does)."""
    code = (
        "import torch, keywork.distributions; assert torch.distributions.Distribution._validate_args\n"
        "print(keywork.distributions.TanhNormal(0.0, 1.0)._validate_args)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_has_no_reparameterised_sample_says_so():
    assert not Categorical(logits=torch.zeros(2)).has_rsample
    with pytest.raises(NotImplementedError, match="Categorical has no reparameterised sample"):
        Categorical(logits=torch.zeros(2)).rsample()
