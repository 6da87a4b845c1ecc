"""Whether vmap, torch.compile, other floating types and numeric differentiation work on a distribution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from keywork.testing._dist_subject import DistSubject, built, everything, name_of, noise_free, of_type
from keywork.testing._expect import close, expect, failing, leaves, same, seeded


def check_vmap(subject: DistSubject) -> None:
    """Build it inside of vmap: every tensor has its shape, scores are the same, noise is as ``randomness`` says."""
    params, dist = of_type(subject, torch.float32), built(subject)
    name, value = name_of(dist), dist.sample()
    for randomness in ("different", "same"):
        with failing(f"{name} does not run in vmap(randomness={randomness!r})", RuntimeError, ValueError):
            outputs = torch.vmap(lambda *p: everything(subject.build(*p)), randomness=randomness)(*params)
            draws = torch.vmap(lambda _: tuple(leaves(built(subject).sample())), randomness=randomness)(torch.arange(4))
        for ours, theirs in zip(outputs, everything(dist), strict=True):
            expect(
                sorted(ours.shape) == sorted(theirs.shape) and ours.dtype == theirs.dtype,
                f"{name} in vmap gives {ours.dtype} {list(ours.shape)} for {theirs.dtype} {list(theirs.shape)}",
            )
        alike = all(same(draw, draw[:1].expand_as(draw)) for draw in draws)
        expect(
            alike is (subject.point or randomness == "same"),
            f"{name} in vmap(randomness={randomness!r}) draws {'the same' if alike else 'another'} sample each time",
        )
    mapped = torch.vmap(lambda v, *p: subject.build(*p).log_prob(v))(value, *params)
    close(mapped, dist.log_prob(value), f"{name}.log_prob in vmap differs")


def check_vmap_grad(subject: DistSubject) -> None:
    """Differentiate inside of vmap: a gradient for each row, that of the batch."""
    params = of_type(subject, torch.float64, requires_grad=True)
    value = subject.build(*params).sample()
    numbers = tuple(number for number, param in enumerate(params) if param.requires_grad)

    def total(value: Any, *given: Tensor) -> Tensor:
        dist = subject.build(*given)
        sums = [leaf.double().sum() for one in noise_free(dist).values() for leaf in leaves(one)]
        if not subject.point:
            sums.append(dist.entropy().sum())
        return torch.stack([*sums, dist.log_prob(value).sum()]).sum()

    expected = torch.autograd.grad(total(value, *params), [params[number] for number in numbers], allow_unused=True)
    name = name_of(subject.build(*params))
    arguments = tuple(number + 1 for number in numbers)
    with failing(f"{name} cannot be differentiated inside of vmap", RuntimeError):
        mapped = torch.vmap(torch.func.grad(total, argnums=arguments), randomness="different")(
            value, *[param.detach() for param in params]
        )
    for number, (ours, theirs) in enumerate(zip(mapped, expected, strict=True)):
        if theirs is not None:
            close(ours, theirs, f"{name}: the gradient for parameter {numbers[number]} inside of vmap differs")


def check_compile(subject: DistSubject) -> None:
    """Compile the building and every tensor that follows as one graph: the same numbers from the same seed."""
    params = of_type(subject, torch.float32)
    name = name_of(subject.build(*params))

    def call(*given: Tensor) -> tuple[Tensor, ...]:
        return everything(subject.build(*given))

    torch._dynamo.reset()
    compiled: Any = torch.compile(call, fullgraph=True, backend="eager")
    with seeded(0):
        expected = call(*params)
    with seeded(0), failing(f"{name} does not compile to one graph", RuntimeError):
        outputs = compiled(*params)
    for number, (ours, theirs) in enumerate(zip(outputs, expected, strict=True)):
        close(ours, theirs, f"{name}: tensor {number} differs when compiled")


def check_precision(subject: DistSubject) -> None:
    """Build it in float16 and bfloat16: samples of that type, scores in float32 that lose nothing more."""
    full = built(subject).sample()
    for dtype in (torch.float16, torch.bfloat16):
        params = of_type(subject, dtype)
        dist, place = subject.build(*params), f"{name_of(subject.build(*params))} in {dtype}"
        sample, score = dist.sample_and_log_prob()
        for what, value in {"a sample": sample, **noise_free(dist)}.items():
            for leaf, wide in zip(leaves(value), leaves(full), strict=True):
                wanted = dtype if wide.is_floating_point() else wide.dtype
                expect(leaf.dtype == wanted, f"{place}: {what} is of type {leaf.dtype}, and should be of {wanted}")
        if subject.point:
            continue
        types = {score.dtype, dist.log_prob(sample).dtype, dist.entropy().dtype}
        expect(types == {torch.float32}, f"{place}: scores and entropy are of type {types}, and should be float32")
        expect(bool(dist.log_prob(sample).isfinite().all()), f"{place}: the log_prob of a sample is not finite")
        # The parameters are what is rounded, not the score: the same rounded parameters in float64 agree.
        exact = subject.build(*[param.double() if param.is_floating_point() else param for param in params])
        close(dist.log_prob(sample).double(), exact.log_prob(sample), f"{place}: log_prob is rounded", 1e-4)
        close(dist.entropy().double(), exact.entropy(), f"{place}: the entropy is rounded", 1e-4)


def check_gradcheck(subject: DistSubject) -> None:
    """Differentiate log_prob and rsample numerically, in float64."""
    params = [param[:2].detach().requires_grad_() for param in of_type(subject, torch.float64)]
    dist = subject.build(*params)
    value = dist.sample()
    if not subject.point:
        with failing(f"{name_of(dist)}: the gradient of log_prob is wrong", RuntimeError):
            torch.autograd.gradcheck(lambda *p: subject.build(*p).log_prob(value), params)
    if not dist.has_rsample:
        return

    def drawn(*given: Tensor) -> tuple[Tensor, ...]:
        with seeded(0):
            return tuple(leaves(subject.build(*given).rsample()))

    with failing(f"{name_of(dist)}: the gradient of rsample is wrong", RuntimeError):
        torch.autograd.gradcheck(drawn, params)
