"""What the base of all distributions says and checks; what each one does is in test_every_distribution.py."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from keywork._errors import SpecError
from keywork.distributions import Categorical, IndependentNormal, OneHotCategorical, TanhNormal


def test_the_message_for_a_wrong_shape():
    dist = Categorical(logits=torch.zeros(8, 3))
    with pytest.raises(SpecError) as error:
        dist.log_prob(torch.zeros(8, 1, dtype=torch.int64))
    assert str(error.value) == (
        "Categorical.log_prob cannot score a value of shape [8, 1].\n"
        "  where: batch shape [8], event shape []\n"
        "  expected: a tensor [..., 8]\n"
        "  got: int64[8, 1]\n"
        "  fix: Reshape the value, or expand() the distribution."
    )
    with pytest.raises(
        SpecError, match=r"cannot score a float\.\n[^$]*expected: a tensor \[\.\.\., 8\]\n  got: float\n"
    ):
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
