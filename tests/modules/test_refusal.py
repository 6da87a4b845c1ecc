import pytest

from keywork._errors import SpecError
from keywork.modules._refusal import refusal, require_known


def test_an_error_has_five_parts():
    error = refusal(SpecError, "It cannot be.", where="here", expected="this", got="that", fix="type this")
    assert type(error) is SpecError
    assert str(error) == "It cannot be.\n  where: here\n  expected: this\n  got: that\n  fix: type this"


def test_known_options_pass():
    assert require_known("Owner", {"theta": 1}, ["theta", "sigma"]) is None


@pytest.mark.parametrize(("name", "hint"), [("tetha", "; did you mean 'theta'?"), ("colour", "")])
def test_an_unknown_option_is_refused_as_python_does(name, hint):
    with pytest.raises(TypeError) as error:
        require_known("Owner", {name: 1}, ["theta", "sigma"])
    assert str(error.value) == f"Owner.__init__() got an unexpected keyword argument {name!r}{hint}"
