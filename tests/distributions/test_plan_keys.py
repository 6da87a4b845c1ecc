import pytest

from keywork.distributions._composite_parts import ActionPart
from keywork.distributions._plan_keys import log_prob_keys_of, owner_of, parameters_of

PARTS = [ActionPart(name, name, dict, {}) for name in ("gear", ("arm", "gear"), "steer")]


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        (("gear", "logits"), "gear"),
        (("p", "gear", "logits"), "gear"),
        (("arm", "gear", "logits"), ("arm", "gear")),  # the longer name
        (("p", "arm", "gear", "logits"), ("arm", "gear")),
        (("gear", "p", "logits"), None),
        ("gear", None),  # the last part is an argument
    ],
)
def test_whose_parameter_a_key_is(key, owner):
    assert owner_of(key, PARTS) == owner


def test_one_key_of_no_action_is_that_of_a_group():
    for in_keys in ("params", ["params"], ("net", "params"), {"params": "params"}):
        assert parameters_of(in_keys, PARTS, True)[0].grouped
    assert not parameters_of([("steer", "loc")], PARTS, True)[0].grouped
    named, _ = parameters_of({"params": ("net", "out")}, PARTS, True)
    assert named.keys == (("net", "out"),)


def test_an_action_may_be_called_params():
    parts = [ActionPart("params", "params", dict, {})]
    named, findings = parameters_of({"params": {"loc": "x"}}, parts, True)
    assert (named.grouped, named.keys, named.arguments, findings) == (False, ("x",), (("loc",),), [])


def test_log_prob_keys_of_the_wrong_number():
    _, (finding,) = log_prob_keys_of(["a", "b"], None, ["x", "y", "z"])
    assert finding.problem == "log_prob_keys names 3, 'x', 'y', 'z', for 2 sample(s)."
    _, (finding,) = log_prob_keys_of(["a"], "x", ["y"])
    assert finding.problem == "log_prob_key is 'x' and log_prob_keys ['y']."
