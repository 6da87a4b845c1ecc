import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from keywork._errors import SpecError, UsageError
from keywork.modules import EGreedyModule, ExplorationModule
from keywork.modules._annealing import Annealing
from keywork.modules._exploration import exploring
from keywork.nn import TensorDictSequential, set_exploration_type
from keywork.specs import Categorical, Composite

OFF = ["deterministic", "mode", "mean"]


class Negated(ExplorationModule):
    def __init__(self) -> None:
        super().__init__(["move"], ["move"], Annealing("Negated", "eps", 1.0, 0.5, 10), None)

    def explore(self, action: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        return (-action,)


def test_exploration_is_on_under_random_and_outside_of_any_context():
    assert exploring()
    with set_exploration_type("random"):
        assert exploring()


@pytest.mark.parametrize("kind", OFF)
def test_exploration_is_off_under_every_other_type(kind):
    with set_exploration_type(kind):
        assert not exploring()


def test_a_module_of_ones_own_writes_the_noise_alone():
    module, action = Negated(), torch.ones(3)
    assert torch.equal(module(action), -action)
    with set_exploration_type("mode"):
        assert module(action) is action
    module.step(10)
    assert module.annealing.value.item() == 0.5


def test_train_and_eval_change_nothing():
    action = torch.ones(3)
    assert torch.equal(Negated().eval()(action), -action)


def test_the_type_reaches_every_module_of_a_policy():
    policy, action = TensorDictSequential(Negated(), TensorDictSequential(Negated())), torch.ones(3)
    assert torch.equal(policy.compute(action)[0], action)  # negated twice
    with set_exploration_type("deterministic"):
        assert policy.compute(action)[0] is action


@pytest.mark.parametrize("name", ["spec", "action_space", "action_spec"])
@pytest.mark.parametrize("form", [Categorical(3), spaces.Discrete(3), Composite({"action": Categorical(3)})])
def test_a_spec_is_taken_under_each_of_its_names_and_in_each_form(name, form):
    assert EGreedyModule(**{name: form}).spec == Categorical(3)


def test_a_nested_action_finds_its_spec_in_a_composite():
    spec = Composite({("agents", "left"): Categorical(3), ("agents", "right"): Categorical(5)})
    assert EGreedyModule(spec, action_key=("agents", "right")).spec == Categorical(5)


def test_a_composite_without_the_action_is_refused():
    with pytest.raises(SpecError) as error:
        EGreedyModule(Composite({"move": Categorical(3)}))
    assert str(error.value) == (
        "EGreedyModule cannot find the spec of its action.\n"
        "  where: spec\n"
        "  expected: one that has 'action'\n"
        "  got: a Composite of 'move'\n"
        "  fix: Composite({'action': env.action_spec}), or env.action_spec itself"
    )


def test_a_spec_that_is_given_twice_is_refused():
    with pytest.raises(UsageError) as error:
        EGreedyModule(Categorical(3), action_space=Categorical(3))
    assert str(error.value) == (
        "EGreedyModule cannot be built: its spec is given more than once.\n"
        "  where: spec, action_space\n"
        "  expected: one of them\n"
        "  got: 2\n"
        "  fix: EGreedyModule(spec=env.action_spec)"
    )


def test_an_unknown_argument_is_refused_with_what_was_meant():
    with pytest.raises(TypeError) as error:
        EGreedyModule(Categorical(3), action_spaces=Categorical(3))
    assert str(error.value) == (
        "EGreedyModule.__init__() got an unexpected keyword argument 'action_spaces'; did you mean 'action_space'?"
    )


def test_a_call_without_a_spec_says_how_to_give_one():
    with pytest.raises(SpecError) as error:
        EGreedyModule()(torch.zeros(3, dtype=torch.int64))
    assert str(error.value) == (
        "EGreedyModule cannot explore: nobody has said what an action is.\n"
        "  where: spec\n"
        "  expected: a spec or a Gymnasium space\n"
        "  got: None\n"
        "  fix: EGreedyModule(spec=env.action_spec), or module.spec = env.action_spec"
    )


def test_without_a_spec_a_policy_can_still_be_evaluated():
    action = torch.zeros(3, dtype=torch.int64)
    with set_exploration_type("mode"):
        assert EGreedyModule()(action) is action
