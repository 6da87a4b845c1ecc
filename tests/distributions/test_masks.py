"""What MaskedCategorical and MaskedOneHotCategorical share."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import kl_divergence

from keywork._errors import SpecError
from keywork.distributions import Categorical, MaskedCategorical, MaskedOneHotCategorical, OneHotCategorical

BOTH = pytest.mark.parametrize("kind", [MaskedCategorical, MaskedOneHotCategorical])
LOGITS = torch.tensor([[0.3, -1.0, 2.0, 0.5, 0.0], [1.0, 0.2, -0.7, 3.0, 0.1]])
MASK = torch.tensor([[True, False, False, True, True], [False, True, True, False, False]])
INDICES = torch.tensor([[4, 0, 3], [2, 1, -1]])  # the same, in another order, and padded with -1


def value_of(kind, index) -> torch.Tensor:
    index = torch.as_tensor(index)
    return index if kind is MaskedCategorical else F.one_hot(index, 5)


def index_of(kind, value: torch.Tensor) -> torch.Tensor:
    return value if kind is MaskedCategorical else value.argmax(-1)


def brute_force(logits, allowed) -> list[float]:
    """Probabilities from the definition, one row, in Python's numbers."""
    weights = [math.exp(x) if ok else 0.0 for x, ok in zip(logits, allowed, strict=True)]
    return [weight / sum(weights) for weight in weights]


@BOTH
@settings(max_examples=50)
@given(data=st.data())
def test_any_mask_agrees_with_brute_force(kind, data):
    shape = data.draw(st.sampled_from([(), (3,), (2, 3)]))
    rows = math.prod(shape)
    row = st.lists(st.booleans(), min_size=5, max_size=5).filter(any)
    per_row = data.draw(st.lists(row, min_size=rows, max_size=rows)) if data.draw(st.booleans()) else None
    allowed = [data.draw(row)] * rows if per_row is None else per_row
    logit = st.floats(-20, 20)
    numbers = data.draw(st.lists(st.lists(logit, min_size=5, max_size=5), min_size=rows, max_size=rows))
    mask = torch.tensor(allowed[0]) if per_row is None else torch.tensor(allowed).view(*shape, 5)
    logits = torch.tensor(numbers, dtype=torch.float64).view(*shape, 5)
    width = max(sum(flags) for flags in allowed)
    lists = [[k for k in range(5) if flags[k]] for flags in allowed]
    indices = torch.tensor([[-1] * (width - len(ks)) + ks for ks in lists]).view(*shape, width)
    p = torch.tensor([brute_force(*both) for both in zip(numbers, allowed, strict=True)], dtype=torch.float64)
    entropy = torch.special.entr(p).sum(-1)
    for options in (
        {"logits": logits, "mask": mask},
        {"logits": logits, "mask": mask.to(torch.int8)},
        {"logits": logits, "indices": indices, "padding_value": -1},
        {"probs": 3 * logits.exp(), "mask": mask},
    ):
        dist = kind(**options, validate_args=True)
        torch.testing.assert_close(dist.probs.view(rows, 5), p)
        torch.testing.assert_close(dist.entropy().view(rows), entropy)
        assert torch.equal(dist.mask.view(rows, 5), torch.tensor(allowed))
        for k in range(5):
            score = dist.log_prob(value_of(kind, torch.full(shape, k)))
            torch.testing.assert_close(score.view(rows), p[:, k].log())
        for value in (dist.mode, dist.mean, dist.deterministic_sample, dist.sample()):
            assert dist.mask.gather(-1, index_of(kind, value).unsqueeze(-1)).all()
        best = p.gather(-1, index_of(kind, dist.mode).view(rows, 1)).squeeze(-1)
        torch.testing.assert_close(best, p.amax(-1))


@BOTH
@pytest.mark.parametrize("options", [{"mask": MASK}, {"indices": INDICES, "padding_value": -1}])
def test_samples_have_the_probabilities_of_what_is_allowed(kind, options):
    """In the original indices; nothing forbidden in 40 000 draws."""
    dist = kind(LOGITS, **options)
    draws = index_of(kind, dist.sample((40_000,)))
    for row, allowed in enumerate(MASK):
        counts = torch.bincount(draws[:, row], minlength=5)
        assert counts[~allowed].sum() == 0
        expected = 40_000 * torch.tensor(brute_force(LOGITS[row].tolist(), allowed.tolist()))[allowed]
        # Pearson's χ² of at most two degrees of freedom is above -2 log(1e-4) = 18.4 with a probability of 1e-4.
        assert ((counts[allowed] - expected) ** 2 / expected).sum() < 18.4


@BOTH
def test_by_hand(kind):
    # Allowed: weights 1 and 3, so p = (1/4, 0, 3/4), entropy = 1/4 log 4 + 3/4 log(4/3).
    logits = torch.tensor([0.0, 50.0, math.log(3)])
    dist = kind(logits, mask=torch.tensor([True, False, True]))
    assert dist.probs.tolist() == pytest.approx([0.25, 0.0, 0.75])
    assert dist.entropy().item() == pytest.approx(0.25 * math.log(4) + 0.75 * math.log(4 / 3))
    assert index_of(kind, dist.mode).item() == 2


@BOTH
@pytest.mark.parametrize("lead", [(), (7,), (7, 6)])
def test_leading_sample_dimensions_are_scored(kind, lead):
    """The field's class fails for lp(sample((7,)))."""
    dist = kind(LOGITS, mask=MASK)
    draws = dist.sample(lead)
    index = index_of(kind, draws)
    expected = [
        [math.log(brute_force(LOGITS[row].tolist(), MASK[row].tolist())[k]) for row, k in enumerate(rows)]
        for rows in index.reshape(-1, 2).tolist()
    ]
    torch.testing.assert_close(dist.log_prob(draws), torch.tensor(expected).view(*lead, 2))


@BOTH
@pytest.mark.parametrize("forbidden", [0.0, torch.inf, -torch.inf, torch.nan])
def test_a_forbidden_action_scores_minus_infinity_with_finite_gradients(kind, forbidden):
    logits = torch.tensor([[0.0, forbidden, 0.0]], requires_grad=True)
    dist = kind(logits, mask=torch.tensor([[True, False, True]]))
    wrong = torch.tensor([1]) if kind is MaskedCategorical else torch.tensor([[0, 1, 0]])
    assert dist.log_prob(wrong).item() == -math.inf
    # d log p_k = -p for the others: -1/2 each, and nothing for the forbidden one.
    (gradient,) = torch.autograd.grad(dist.log_prob(wrong).sum(), logits, retain_graph=True)
    assert gradient.tolist() == [[-0.5, 0.0, -0.5]]
    # mode is index 0: (1 - 1/2, -1/2); the entropy of two equal ones has no gradient.
    (gradient,) = torch.autograd.grad(dist.log_prob(dist.mode).sum() + dist.entropy().sum(), logits)
    torch.testing.assert_close(gradient, torch.tensor([[0.5, 0.0, -0.5]]))


@BOTH
def test_gradients_are_right(kind):
    logits = LOGITS.double().requires_grad_()
    value = kind(logits, mask=MASK).sample()
    torch.autograd.gradcheck(lambda x: kind(x, mask=MASK).log_prob(value), (logits,))
    torch.autograd.gradcheck(lambda x: kind(x, indices=INDICES, padding_value=-1).entropy(), (logits,))
    torch.autograd.gradcheck(lambda x: kind(probs=x.exp(), mask=MASK).log_prob(value), (logits,))


@BOTH
def test_ties_give_one_allowed_action(kind):
    dist = kind(torch.zeros(2, 5), mask=MASK)
    for value in (dist.mode, dist.mean, dist.deterministic_sample):
        assert torch.equal(value, value_of(kind, [0, 1]))


@BOTH
def test_one_allowed_action_is_certain(kind):
    dist = kind(LOGITS, indices=torch.tensor([[2], [4]]))
    assert torch.equal(dist.sample((9,)), value_of(kind, [2, 4]).expand(9, *dist.mode.shape))
    assert dist.entropy().tolist() == [0.0, 0.0]
    assert dist.log_prob(dist.mode).tolist() == [0.0, 0.0]


@BOTH
def test_a_repeated_index_counts_once(kind):
    """The field's class gives it twice the weight."""
    once, twice = (kind(LOGITS, indices=torch.tensor(ks)) for ks in ([0, 3], [3, 0, 3]))
    torch.testing.assert_close(once.probs, twice.probs)


@BOTH
def test_padding_may_be_on_either_side_and_any_number(kind):
    expected = kind(LOGITS, mask=MASK).probs
    for padding, side in itertools.product((-1, -100, 5, 99), (1, -1)):
        indices = torch.tensor([[4, 0, 3], [padding, 1, 2][::side]])
        torch.testing.assert_close(kind(LOGITS, indices=indices, padding_value=padding).probs, expected)


@BOTH
def test_a_row_that_allows_nothing_is_named(kind):
    """The field's classes fail without naming it, or draw what is forbidden."""
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    mask[1, 0], mask[1, 2] = False, False
    with pytest.raises(SpecError) as error:
        kind(torch.zeros(2, 3, 4), mask=mask)
    assert str(error.value) == (
        f"{kind.__name__} cannot be built: its mask allows no choice in row [1, 0], the first of 2 such rows among 6. "
        "Let every row allow a choice, one that does nothing if need be."
    )
    with pytest.raises(SpecError, match=r"allows no choice in row \[1\], the first of 1 such rows among 2"):
        kind(LOGITS, indices=torch.tensor([[0, 1], [-1, -1]]), padding_value=-1)
    with pytest.raises(SpecError, match="allows no choice in row"):
        kind(LOGITS, indices=torch.zeros(0, dtype=torch.int64))
    with pytest.raises(SpecError, match=r"allows no choice in row \[1\]"):  # a NaN elsewhere does not hide it
        kind(torch.tensor([[0.0, torch.nan], [0.0, 0.0]]), mask=torch.tensor([[True, True], [False, False]]))
    assert kind(LOGITS[:0], mask=MASK[0]).sample().shape[0] == 0
    with pytest.raises(SpecError, match=r"every logit that its mask allows is −inf in row \[1\]"):
        kind(torch.tensor([[0.0, 0.0], [0.0, -math.inf]]), mask=torch.tensor([False, True]))


@BOTH
def test_unasked_a_row_that_allows_nothing_scores_nan(kind):
    mask = MASK.clone()
    mask[1] = False
    dist = kind(LOGITS, mask=mask, validate_args=False)
    assert dist.log_prob(dist.sample()).isnan().tolist() == [False, True]
    assert not dist.expand((3, 2))._validate_args


@BOTH
def test_under_vmap_and_compile_values_are_not_looked_at(kind):
    def score(logits, mask):
        dist = kind(logits, mask=mask)
        return dist.log_prob(dist.mode)

    expected = kind(LOGITS, mask=MASK)
    expected = expected.log_prob(expected.mode)
    torch.testing.assert_close(torch.vmap(score)(LOGITS, MASK), expected)
    torch.testing.assert_close(torch.vmap(score, (None, 0))(LOGITS[0], MASK)[0], expected[0])
    torch.testing.assert_close(torch.compile(score, fullgraph=True, backend="eager")(LOGITS, MASK), expected)
    value = kind(LOGITS, mask=MASK).mode
    slope = torch.func.grad(lambda logits, mask, value: kind(logits, mask=mask).log_prob(value))
    gradient = torch.vmap(slope)(LOGITS, MASK, value)
    assert gradient.isfinite().all() and (gradient[~MASK] == 0).all()
    sparse = torch.vmap(lambda x, ks: kind(x, indices=ks, padding_value=-1).probs)(LOGITS, INDICES)
    torch.testing.assert_close(sparse, kind(LOGITS, mask=MASK).probs)


@BOTH
def test_values_are_checked_when_asked_for(kind):
    bad = LOGITS.clone()
    bad[1, 2] = torch.nan
    kind(bad, mask=MASK)
    with pytest.raises(SpecError, match=r"the highest logit of a row .* the first is index \[1\]"):
        kind(bad, mask=MASK, validate_args=True)
    kind(bad, indices=torch.tensor([0, 1]), validate_args=True)  # what is forbidden may be anything


@BOTH
def test_arguments(kind):
    name = kind.__name__
    whole = torch.ones(2, 5)
    for options, message in (
        ({}, f"{name} cannot be built: it takes either mask or indices, and got neither. Pass mask=, a bool for each "),
        ({"mask": MASK, "indices": INDICES}, "and got both"),
        ({"mask": whole}, r"its mask is float32\[2, 5\], .* Pass mask.bool\(\) if 1 allows and 0 forbids"),
        ({"mask": MASK, "padding_value": -1}, "padding_value=-1 pads rows of indices, and it got a mask"),
        (
            {"indices": MASK},
            r"its indices are bool\[2, 5\], and an index is an integer. Pass a tensor of flags as mask",
        ),
        ({"indices": whole}, r"its indices are float32\[2, 5\]"),
        ({"indices": torch.tensor([[0, 1], [2, 5]])}, r"indices at \[1, 1\] is 5, and its choices are 0 to 4."),
        ({"indices": INDICES}, r"indices at \[1, 2\] is -1, .* or name what pads the rows with padding_value="),
        ({"mask": MASK[:, :4]}, r"mask of shape \[2, 4\] does not fit the logits, which ask for \[2, 5\] or fewer"),
        ({"mask": MASK[:, :1]}, r"mask of shape \[2, 1\]"),
        ({"mask": MASK.unsqueeze(1)}, r"mask of shape \[2, 1, 5\]"),
        ({"mask": torch.tensor(True)}, r"mask of shape \[\] does not"),
        ({"indices": torch.zeros(3, 1, dtype=torch.int64)}, r"indices of shape \[3, 1\] .* ask for \[2, k\] or fewer"),
        ({"indices": torch.tensor(1)}, r"indices of shape \[\] does not"),
    ):
        with pytest.raises(SpecError, match=message):
            kind(LOGITS, **options)
    with pytest.raises(SpecError, match="takes either logits or probs, and got neither"):
        kind(mask=MASK)


@BOTH
def test_masks_of_numpy_and_of_one_row(kind):
    expected = kind(LOGITS, mask=MASK[:1].expand(2, 5)).probs
    for mask in (MASK[0], MASK[:1], MASK[0].numpy(), MASK[0].to(torch.int8).numpy(), MASK[0].tolist()):
        torch.testing.assert_close(kind(LOGITS, mask=mask).probs, expected)


@BOTH
def test_divergence(kind):
    plain = Categorical if kind is MaskedCategorical else OneHotCategorical
    p, q = kind(LOGITS, mask=MASK), kind(LOGITS.flip(1), mask=MASK)
    expected = []
    for row in range(2):
        allowed = MASK[row].tolist()
        a, b = brute_force(LOGITS[row].tolist(), allowed), brute_force(LOGITS[row].flip(0).tolist(), allowed)
        expected.append(sum(x * math.log(x / y) for x, y in zip(a, b, strict=True) if x))
    assert kl_divergence(p, q).tolist() == pytest.approx(expected, abs=1e-6)
    assert kl_divergence(p, kind(LOGITS, mask=MASK.roll(1, 1))).tolist() == [math.inf] * 2
    # Against one without a mask, both ways: log of the probability of what is allowed, and infinity.
    free = plain(logits=LOGITS)
    inside = (free.probs * MASK).sum(-1)
    torch.testing.assert_close(kl_divergence(p, free), -inside.log())
    assert kl_divergence(free, p).tolist() == [math.inf] * 2
    logits = LOGITS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(kl_divergence(kind(logits, mask=MASK), q).sum(), logits)
    assert gradient.isfinite().all() and (gradient[~MASK] == 0).all()
