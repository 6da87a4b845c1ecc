"""A user who changes the import finds the same arguments, in the same places, or a reason here why not."""

from __future__ import annotations

import inspect
import re
import sys

import pytest
import torch

import keywork.modules
import keywork.nn

# What the field's classes take (torchrl 0.14.1, tensordict 0.14.3): by position, then by keyword behind the asterisk.
FIELD = {
    "Actor": "module in_keys out_keys * spec",
    "ActorCriticOperator": "common_operator policy_operator value_operator",
    "ActorCriticWrapper": "policy_operator value_operator",
    "ActorValueOperator": "common_operator policy_operator value_operator",
    "AddStateIndependentNormalScale": "scale_shape * scale_mapping scale_lb device make_param init_value",
    "AdditiveGaussianModule": (
        "spec sigma_init sigma_end annealing_num_steps mean std * action_key safe device action_space action_spec"
    ),
    "Delta": "param atol rtol batch_shape event_shape",
    "DistributionalQValueActor": (
        "module support in_keys spec safe var_nums action_space action_value_key action_mask_key make_log_softmax"
    ),
    "DistributionalQValueModule": ("action_space support action_value_key action_mask_key out_keys var_nums spec safe"),
    "EGreedyModule": (
        "spec eps_init eps_end annealing_num_steps * action_key action_mask_key device action_space action_spec"
    ),
    "EnsembleModule": "module num_copies expand_input",
    "IndependentNormal": "loc scale upscale tanh_loc event_dim * validate_args",
    "MaskedCategorical": "logits probs * mask indices neg_inf padding_value use_cross_entropy padding_side",
    "MaskedOneHotCategorical": "logits probs mask indices neg_inf padding_value grad_method",
    "NoisyLinear": "in_features out_features bias device dtype std_init use_exploration_type",
    "NormalParamExtractor": "scale_mapping scale_lb",
    "OneHotCategorical": "logits probs grad_method * validate_args",
    "OneHotOrdinal": "scores",
    "Ordinal": "scores",
    "OrnsteinUhlenbeckProcessModule": (
        "spec eps_init eps_end annealing_num_steps theta mu sigma dt x0 sigma_min n_steps_annealing "
        "* action_key is_init_key safe device action_space action_spec"
    ),
    "ProbabilisticActor": (
        "module in_keys out_keys * spec safe default_interaction_type distribution_class distribution_kwargs "
        "return_log_prob log_prob_keys log_prob_key cache_dist n_empirical_estimate num_samples generator"
    ),
    "ProbabilisticTensorDictModule": (
        "in_keys out_keys * default_interaction_type distribution_class distribution_kwargs return_log_prob "
        "log_prob_keys log_prob_key cache_dist n_empirical_estimate num_samples generator"
    ),
    "QValueActor": (
        "module * in_keys spec safe action_space action_value_key action_key chosen_action_value_key action_mask_key "
        "strict_shape"
    ),
    "QValueModule": "action_space action_value_key action_mask_key out_keys var_nums spec safe strict_shape",
    "RandomPolicy": "action_spec action_key * spec action_space",
    "TanhDelta": "param low high event_dims atol rtol safe",
    "TanhModule": "in_keys out_keys * spec low high clamp",
    "TanhNormal": "loc scale upscale low high event_dims tanh_loc safe_tanh",
    "TensorDictModule": "module in_keys out_keys * out_to_in_map inplace method method_kwargs strict get_kwargs",
    "TensorDictSequential": "modules * partial_tolerant selected_out_keys inplace",
    "TruncatedNormal": "loc scale upscale low high tanh_loc",
    "ValueOperator": "module in_keys out_keys",
    "WrapModule": "func * inplace in_keys out_keys",
}

_ARGMAX = "the action is the best one of the spec by construction, so that there is nothing to project"
_NUMBERS_IN_A_ROW = "behind scale, some mean a bound and the field means upscale: (loc, scale, 0.5) would be misread"
_LOWEST = "what is forbidden has a log-prob of -inf: with a finite one it could be drawn"
_STRICT = "reads are strict; what may be absent is said with optional_keys"

# Arguments of the field that there are not, and why.
NOT_OFFERED = {
    ("DistributionalQValueActor", "safe"): _ARGMAX,
    ("DistributionalQValueModule", "safe"): _ARGMAX,
    ("MaskedCategorical", "neg_inf"): _LOWEST,
    ("MaskedCategorical", "padding_side"): "padding is found on either side",
    ("MaskedCategorical", "use_cross_entropy"): "one way of scoring, for any leading dimensions",
    ("MaskedOneHotCategorical", "neg_inf"): _LOWEST,
    ("NoisyLinear", "use_exploration_type"): "all that explores obeys the exploration type, and not train() and eval()",
    ("ProbabilisticActor", "cache_dist"): "a distribution costs less than looking whether it is still the right one",
    ("ProbabilisticActor", "n_empirical_estimate"): "MEAN is analytic, or numeric without noise",
    ("ProbabilisticTensorDictModule", "cache_dist"): "as for ProbabilisticActor",
    ("ProbabilisticTensorDictModule", "n_empirical_estimate"): "as for ProbabilisticActor",
    ("QValueActor", "safe"): _ARGMAX,
    ("QValueActor", "strict_shape"): "the number of values is always checked",
    ("QValueModule", "safe"): _ARGMAX,
    ("QValueModule", "strict_shape"): "the number of values is always checked",
    ("TanhDelta", "safe"): "an action on a bound is inside the bounds, and found there when it is scored",
    ("TanhNormal", "safe_tanh"): "saturated actions are scored exactly where they are drawn, and plausibly when stored",
    ("TensorDictModule", "get_kwargs"): _STRICT,
    ("TensorDictModule", "strict"): _STRICT,
    ("TensorDictSequential", "partial_tolerant"): _STRICT,
}

# Arguments that stand elsewhere than in the field, or are given by name alone, and why.
BY_NAME = {
    "DistributionalQValueActor": "var_nums and what follows: behind safe, which there is not",
    "MaskedOneHotCategorical": "mask and what follows: by name, as in MaskedCategorical, also in the field",
    "OrnsteinUhlenbeckProcessModule": "theta and what follows: seven numbers in a row are not to be told apart",
    "TanhNormal": f"upscale and what follows: {_NUMBERS_IN_A_ROW}",
    "TruncatedNormal": f"upscale and what follows: {_NUMBERS_IN_A_ROW}",
}


def ours(name: str) -> type:
    found = getattr(keywork.modules, name, None) or getattr(keywork.nn, name)
    assert isinstance(found, type)
    return found


def accepted(kind: type) -> tuple[list[str], set[str]]:
    """The names that can be given by position, and all that can be given by name."""
    parameters = list(inspect.signature(kind).parameters.values())
    by_position = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    by_name = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            # The options stand in a TypedDict.
            options = re.fullmatch(r"Unpack\[(\w+)\]", parameter.annotation)
            assert options, f"{kind.__name__} takes keywords that nobody can see"
            by_name |= getattr(sys.modules[kind.__module__], options[1]).__annotations__.keys()
    return by_position, by_name


@pytest.mark.parametrize("name", FIELD)
def test_every_argument_of_the_field_is_accepted_by_name_or_has_a_reason(name):
    _, by_name = accepted(ours(name))
    lacking = {argument for argument in FIELD[name].replace("*", "").split() if argument not in by_name}
    excused = {argument for owner, argument in NOT_OFFERED if owner == name}
    assert lacking <= excused, f"{name} lacks {sorted(lacking - excused)}"
    assert excused <= lacking, f"{name} has {sorted(excused - lacking)}: no reason is needed any more"


@pytest.mark.parametrize("name", FIELD)
def test_arguments_stand_where_they_stand_in_the_field_or_are_given_by_name(name):
    by_position, _ = accepted(ours(name))
    asked = [a for a in FIELD[name].partition("*")[0].split() if (name, a) not in NOT_OFFERED]
    in_place = by_position[: len(asked)] == asked
    assert in_place != (name in BY_NAME), f"{name}{inspect.signature(ours(name))}, for {asked}"


@pytest.mark.parametrize(
    "call",
    [lambda kind, zeros, ones: kind(zeros, ones, 0.5), lambda kind, zeros, ones: kind(zeros, ones, 5.0, -1.0, 1.0)],
)
@pytest.mark.parametrize("name", ["TanhNormal", "TruncatedNormal"])
def test_a_third_number_is_refused_and_not_misread(name, call):
    """In the field it is upscale; many a reader would take it for a bound."""
    with pytest.raises(TypeError, match=rf"{name}.__init__\(\) takes 3 positional arguments but \d were given"):
        call(ours(name), torch.zeros(2), torch.ones(2))


def test_keys_may_be_none_for_the_defaults_as_in_the_field():
    critic = keywork.modules.ValueOperator(torch.nn.Linear(3, 1), None, None)
    assert (critic.in_keys, critic.out_keys) == (["observation"], ["state_value"])
    actor = keywork.modules.Actor(torch.nn.Linear(3, 1), None, None)
    assert (actor.in_keys, actor.out_keys) == (["observation"], ["action"])


def test_everything_is_imported_by_an_asterisk():
    """The field's own raises an AttributeError."""
    for module in ("keywork.modules", "keywork.distributions", "keywork.nn"):
        names: dict[str, object] = {}
        exec(f"from {module} import *", names)
        assert set(sys.modules[module].__all__) <= names.keys()
