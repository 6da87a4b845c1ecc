"""Whether samples, scores and noise-free actions of a distribution are what its shapes and its support say."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import is_tensor_collection
from torch import Size, Tensor

from keywork.testing._dist_subject import DistSubject, built, name_of, noise_free, of_type
from keywork.testing._expect import close, expect, leaves, same, seeded, skip


def check_shapes(subject: DistSubject) -> None:
    """Compare every shape with the batch shape and the event shape."""
    dist = built(subject)
    name, batch, event = name_of(dist), dist.batch_shape, dist.event_shape
    expect(isinstance(dist, torch.distributions.Distribution), f"{name} is no torch.distributions.Distribution")
    expect(isinstance(batch, Size) and isinstance(event, Size), f"{name}: its batch and event shapes are no torch.Size")
    expect(len(batch) > 0, f"params() gives {name} no batch dimension: [5, 3, ...] is a good shape")
    for ours, asked, what in ((batch, subject.batch_shape, "batch"), (event, subject.event_shape, "event")):
        expect(asked is None or ours == tuple(asked), f"{name} has {what} shape {list(ours)}, and should have {asked}")
    for lead in ((), (7, 6)):
        value = dist.sample(lead)
        for leaf in leaves(value):
            shape = (*lead, *batch, *event)
            found = leaf.shape if not is_tensor_collection(value) else leaf.shape[: len(shape)]
            expect(found == shape, f"{name}.sample({lead}) has shape {list(leaf.shape)}, and should have {list(shape)}")
        score = dist.log_prob(value)
        expect(score.shape == (*lead, *batch), f"{name}.log_prob of sample({lead}) has shape {list(score.shape)}")
    sample = dist.sample()
    for what, value in noise_free(dist).items():
        shapes = [[leaf.shape for leaf in leaves(one)] for one in (value, sample)]
        expect(shapes[0] == shapes[1], f"{name}.{what} has another shape than a sample: {shapes[0]}, and {shapes[1]}")
        expect(dist.log_prob(value).shape == batch, f"{name}.log_prob of {what} is not of shape {list(batch)}")
    expect(dist.entropy().shape == batch, f"{name}.entropy() has shape {list(dist.entropy().shape)}")


def check_support(subject: DistSubject) -> None:
    """Look for samples and noise-free actions outside of the support."""
    dist = built(subject)
    with seeded(0):
        values = {"a sample": dist.sample((500,)), **noise_free(dist)}
    for what, value in values.items():
        inside = dist.support.check(value)
        expect(bool(inside.all()), f"{name_of(dist)}: {what} is outside of its support {dist.support}")


def check_noise_free(subject: DistSubject) -> None:
    """Ask twice for mode, mean and deterministic_sample: they agree bit for bit, and nothing is drawn."""
    dist, before = built(subject), torch.get_rng_state()
    first, second = noise_free(dist), noise_free(dist)
    for what, value in first.items():
        expect(same(value, second[what]), f"{name_of(dist)}.{what} is another one each time")
    untouched = torch.equal(before, torch.get_rng_state())
    expect(untouched, f"{name_of(dist)}: mode, mean or deterministic_sample draws from torch's global generator")


def check_mode(subject: DistSubject) -> None:
    """Score the mode: no sample scores higher."""
    if subject.point:
        skip("all its probability is on one point")
    dist = built(subject, torch.float64)
    with seeded(0):
        best = dist.log_prob(dist.sample((500,))).amax(0)
    short = (best - dist.log_prob(dist.mode)).max().item()
    expect(short < 1e-4, f"{name_of(dist)}: a sample's log_prob is above that of the mode, by {short:.3g}")


def check_joint_score(subject: DistSubject) -> None:
    """Compare the log-prob of sample_and_log_prob with log_prob of the sample, and their gradients."""
    params = of_type(subject, torch.float64, requires_grad=True)
    dist = subject.build(*params)
    for shape in ((), (4,)):
        value, score = dist.sample_and_log_prob(shape)
        expect(
            not any(leaf.requires_grad for leaf in leaves(value)),
            f"{name_of(dist)}.sample_and_log_prob: a gradient flows to the sample, which is rsample's to do",
        )
        close(score, dist.log_prob(value), f"{name_of(dist)}.sample_and_log_prob scores otherwise than log_prob")
    if dist.has_rsample:
        value, score = dist.rsample_and_log_prob((4,))
        close(score, dist.log_prob(value), f"{name_of(dist)}.rsample_and_log_prob scores otherwise than log_prob")
    value, score = dist.sample_and_log_prob()
    if subject.point:
        expect(not score.requires_grad, f"{name_of(dist)}: the score of a point has a gradient")
        return
    joint, separate = (
        torch.autograd.grad(one.sum(), _live(params), retain_graph=True) for one in (score, dist.log_prob(value))
    )
    for ours, theirs in zip(joint, separate, strict=True):
        problem = f"{name_of(dist)}.sample_and_log_prob: the gradient of the score is not that of log_prob"
        close(ours, theirs, problem)


def check_generator(subject: DistSubject) -> None:
    """Draw with generators of the same seed and of another one, whatever torch's own generator does."""
    dist = built(subject)
    before = torch.get_rng_state()
    one, again, other = (dist.sample_and_log_prob((3,), generator=_generator(seed))[0] for seed in (1, 1, 2))
    plain = dist.sample((3,), generator=_generator(1))
    untouched = torch.equal(before, torch.get_rng_state())
    name = name_of(dist)
    expect(same(one, again), f"{name}: the same generator gives another sample")
    expect(same(one, plain), f"{name}: sample and sample_and_log_prob take another sample from the same generator")
    expect(untouched, f"{name} draws from torch's global generator although it is given one")
    expect(subject.point or not same(one, other), f"{name}: generators of two seeds give the same sample")


def check_expand(subject: DistSubject) -> None:
    """Expand it by a leading dimension: the same distribution, over a larger batch."""
    dist = built(subject)
    batch = (2, *dist.batch_shape)
    wide = dist.expand(batch)
    name, value = name_of(dist), dist.sample()
    expect(type(wide) is type(dist), f"{name}.expand gives a {name_of(wide)}")
    expect(wide.batch_shape == batch, f"{name}.expand({batch}) has batch shape {list(wide.batch_shape)}")
    expect(wide.event_shape == dist.event_shape, f"{name}.expand gives event shape {list(wide.event_shape)}")
    expected = dist.log_prob(value).expand(batch)
    close(wide.log_prob(torch.stack([value, value])), expected, f"{name}.expand scores otherwise")
    close(wide.entropy(), dist.entropy().expand(batch), f"{name}.expand has another entropy")
    for what, one in noise_free(dist).items():
        for ours, theirs in zip(leaves(getattr(wide, what)), leaves(one), strict=True):
            close(ours, torch.stack([theirs, theirs]), f"{name}.expand has another {what}")
    drawn = [leaf.shape for leaf in leaves(wide.sample())]
    expect(drawn == [(2, *leaf.shape) for leaf in leaves(value)], f"{name}.expand draws samples of shape {drawn}")


def check_broadcast(subject: DistSubject) -> None:
    """Score values of shapes that would have to be broadcast: each is refused with a ValueError."""
    dist = built(subject)
    value, batch = dist.sample(), dist.batch_shape
    if not isinstance(value, Tensor):
        skip("a value is no tensor")
    wrong = {(1,), (4,), batch[:1], (*batch[:1], 1), batch[::-1], (*batch, 1)} - {batch}
    for shape in sorted(shape for shape in wrong if shape[-len(batch) :] != batch):
        zeros = torch.zeros(*shape, *dist.event_shape, dtype=value.dtype)
        expect(
            _refuses(dist, zeros),
            f"{name_of(dist)}.log_prob broadcasts a value of shape {list(zeros.shape)} to its batch {list(batch)}",
        )


def check_gradients(subject: DistSubject) -> None:
    """Differentiate score and entropy (of a point: the sample): every parameter has a finite gradient, not zero."""
    params = of_type(subject, torch.float32, requires_grad=True)
    dist = subject.build(*params)
    if subject.point:
        total = torch.stack([leaf.sum() for leaf in leaves(dist.rsample())]).sum()
    else:
        total = dist.log_prob(dist.sample()).sum() + dist.entropy().sum()
    gradients = torch.autograd.grad(total, _live(params), allow_unused=True)
    for number, gradient in enumerate(gradients):
        place = f"{name_of(dist)}: the gradient for parameter {number}"
        expect(gradient is not None, f"{place} is missing")
        expect(bool(gradient.isfinite().all()), f"{place} is not finite")
        expect(bool(gradient.any()), f"{place} is zero")


def _live(params: list[Tensor]) -> list[Tensor]:
    return [param for param in params if param.requires_grad]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _refuses(dist: Any, value: Tensor) -> bool:
    try:
        dist.log_prob(value)
    except ValueError:
        return True
    return False
