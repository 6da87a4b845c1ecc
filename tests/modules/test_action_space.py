import pytest
import torch

from keywork._errors import SpecError, UsageError
from keywork.modules._action_space import choices_named, choices_of
from keywork.modules._choices import Bits, OneHotOf, OneOf
from keywork.modules._several_of import SeveralOf
from keywork.specs import Bounded, Categorical, Composite, MultiBinary, MultiDiscrete, OneHot, Spec


@pytest.mark.parametrize(
    ("spec", "form", "shape"),
    [
        (Categorical(3), OneOf, ()),
        (Categorical(3, (2,)), OneOf, (2,)),
        (OneHot(3), OneHotOf, (3,)),
        (MultiDiscrete([2, 5]), SeveralOf, (2,)),
        (MultiDiscrete([[2, 5], [3, 3]]), SeveralOf, (2, 2)),
        (MultiBinary(4), Bits, (4,)),
    ],
)
def test_a_spec_has_a_form(spec: Spec, form: type, shape: tuple[int, ...]):
    found = choices_of("Owner", spec)
    assert type(found) is form
    assert found.shape == shape
    assert found.dims == len(shape)
    zero = spec.zero((6,))
    assert found.batch_of(zero) == (6,)
    assert spec.is_in(found.random(zero, None))


@pytest.mark.parametrize(
    "spec", [Bounded(-1.0, 1.0, (2,)), Bounded(0, 5, (2,), dtype=torch.int64), Composite({}), MultiDiscrete([])]
)
def test_other_specs_are_refused(spec: Spec):
    with pytest.raises(SpecError) as error:
        choices_of("EGreedyModule", spec)
    assert str(error.value) == (
        "EGreedyModule cannot choose among these actions: there are not just a few.\n"
        "  where: spec\n"
        "  expected: Categorical, OneHot, MultiDiscrete or MultiBinary\n"
        f"  got: {spec!r}\n"
        "  fix: AdditiveGaussianModule or OrnsteinUhlenbeckProcessModule explore numbers"
    )


@pytest.mark.parametrize(
    ("name", "sizes", "form"),
    [
        ("categorical", None, OneOf),
        ("one-hot", None, OneHotOf),
        ("one_hot", None, OneHotOf),
        ("mult_one_hot", [2, 5], SeveralOf),
        ("mult-one-hot", 3, SeveralOf),
        ("multi-categorical", [2, 5], SeveralOf),
        ("binary", None, Bits),
    ],
)
def test_the_fields_names_are_known(name, sizes, form):
    assert type(choices_named("Owner", name, sizes)) is form


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError) as error:
        choices_named("QValueModule", "discrete")
    assert str(error.value) == (
        "QValueModule cannot be built: there is no such action space.\n"
        "  where: action_space\n"
        "  expected: a spec, or one of categorical, one-hot, multi-categorical, mult-one-hot, binary\n"
        "  got: 'discrete'\n"
        "  fix: spec=env.action_spec"
    )


def test_a_multiple_space_needs_its_sizes():
    with pytest.raises(UsageError) as error:
        choices_named("QValueModule", "mult-one-hot")
    assert str(error.value) == (
        "QValueModule cannot be built: var_nums is missing.\n"
        "  where: var_nums\n"
        "  expected: how many choices each component has\n"
        "  got: None\n"
        "  fix: var_nums=[2, 5], or spec=env.action_spec"
    )


def test_a_single_choice_has_no_sizes():
    with pytest.raises(UsageError, match="var_nums means nothing for 'categorical'"):
        choices_named("QValueModule", "categorical", 4)


@pytest.mark.parametrize(("name", "near"), [("onehot", "one-hot"), ("categorial", "categorical"), ("binry", "binary")])
def test_a_name_that_is_nearly_one(name, near):
    with pytest.raises(UsageError) as error:
        choices_named("QValueModule", name)
    assert str(error.value).endswith(f"\n  got: {name!r}\n  fix: action_space={near!r}, or spec=env.action_spec")
