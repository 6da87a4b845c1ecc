from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from keywork import _errors
from keywork._errors import (
    ContractError,
    EnvError,
    Finding,
    KeyworkError,
    MissingExtraError,
    MissingKeyError,
    NonFiniteError,
    OutputError,
    RunError,
    SpecError,
    UsageError,
    describe,
    shape_of,
)

MISSPELT = Finding("near-miss", "step 1 reads 'hidden'.", "'hiden' (step 0)", "did you mean 'hiden'?")
DOUBLE = Finding("double-write", "steps 0 and 1 write 'x'.", "", "rename one.\nOr drop it.")


class TestTheTree:
    @pytest.mark.parametrize(
        ("error", "bases"),
        [
            (ContractError, (ValueError, KeyError)),
            (MissingKeyError, (KeyError,)),
            (OutputError, (ValueError,)),
            (SpecError, (ValueError,)),
            (NonFiniteError, (ArithmeticError,)),
            (EnvError, (RuntimeError,)),
            (RunError, (RuntimeError,)),
            (UsageError, (ValueError,)),
            (MissingExtraError, (ImportError,)),
        ],
    )
    def test_each_is_ours_and_what_a_user_expects_to_catch(self, error, bases):
        assert issubclass(error, KeyworkError)
        assert all(issubclass(error, base) for base in bases)

    def test_every_error_of_the_file_is_exported(self):
        here = {
            name
            for name, value in vars(_errors).items()
            if isinstance(value, type) and value.__module__ == _errors.__name__
        }
        assert here <= set(_errors.__all__)
        assert _errors.__all__ == sorted(_errors.__all__)

    def test_a_message_is_shown_as_it_is_although_a_key_error_would_quote_it(self):
        assert str(MissingKeyError("it's\ngone")) == "it's\ngone"
        assert str(ContractError("x", [])) == "x cannot be built: 0 findings."
        assert str(KeyworkError()) == ""


class TestContractError:
    def test_all_findings_are_numbered_and_indented(self):
        assert str(ContractError("TensorDictSequential", [MISSPELT, DOUBLE])) == (
            "TensorDictSequential cannot be built: 2 findings.\n"
            "1. step 1 reads 'hidden'.\n"
            "   provided: 'hiden' (step 0)\n"
            "   did you mean 'hiden'?\n"
            "2. steps 0 and 1 write 'x'.\n"
            "   rename one.\n"
            "   Or drop it."
        )

    def test_one_finding_is_counted_in_the_singular(self):
        assert str(ContractError("Flow", [DOUBLE])).startswith("Flow cannot be built: 1 finding.\n")

    def test_it_keeps_what_it_is_about(self):
        error = ContractError("Flow", [MISSPELT])
        assert (error.what, error.findings, error.findings[0].kind) == ("Flow", (MISSPELT,), "near-miss")

    @pytest.mark.parametrize(
        "error", [ContractError("Flow", [MISSPELT, DOUBLE]), MissingExtraError("plots", "matplotlib", "plots")]
    )
    def test_it_survives_the_way_from_a_worker_process(self, error):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)

    def test_a_finding_cannot_be_changed(self):
        with pytest.raises(AttributeError):
            MISSPELT.kind = "other"  # type: ignore[misc]


class TestMessages:
    def test_a_missing_key(self):
        error = MissingKeyError.of(
            "TensorDictModule (Linear 4 -> 2)", "obs", "'observation'", "did you mean 'observation'? "
        )
        assert str(error) == (
            "TensorDictModule (Linear 4 -> 2) cannot run: it reads 'obs', which the TensorDict does not hold.\n"
            "   the TensorDict holds: 'observation'\n"
            "   did you mean 'observation'? Store the entry under 'obs', or change in_keys."
        )

    def test_a_missing_key_of_another_place(self):
        assert "which the call does not hold.\n   the call holds: nothing\n" in str(
            MissingKeyError.of("Net", "x", "nothing", place="the call")
        )

    def test_a_missing_extra_says_what_to_type(self):
        assert str(MissingExtraError("The report", "matplotlib", "plots")) == (
            "The report needs the package 'matplotlib', which is not installed: pip install 'keywork[plots]'"
        )


class TestDescribe:
    def test_networks_by_their_widths(self):
        assert describe(nn.Linear(4, 2)) == "Linear 4 -> 2"
        assert describe(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))) == "Sequential 4 -> 8 -> 2"

    def test_what_has_no_linear_layers_of_its_own_by_its_class(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(4, 2)

        assert describe(nn.Tanh()) == "Tanh"
        assert describe(Net()) == "Net"
        assert describe(nn.Sequential(nn.Tanh())) == "Sequential"

    def test_functions_by_their_name_and_objects_by_their_class(self):
        assert describe(torch.tanh) == "tanh"
        assert describe(int) == "int"
        assert describe(object()) == "object"

    def test_the_shape_and_type_of_a_value(self):
        assert shape_of(torch.zeros(8, 4)) == "float32[8, 4]"
        assert shape_of(torch.zeros((), dtype=torch.bool)) == "bool[]"
        assert (shape_of("a"), shape_of(None)) == ("str", "NoneType")
