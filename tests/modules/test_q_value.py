import math
from functools import partial

import pytest
import torch
from gymnasium import spaces
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, MissingKeyError, SpecError, UsageError
from keywork.modules import DistributionalQValueActor, DistributionalQValueModule, QValueActor, QValueModule
from keywork.nn import TensorDictModule
from keywork.specs import Categorical, Composite, MultiBinary, MultiDiscrete, OneHot

VALUES = torch.tensor([[1.0, 3.0, 2.0], [6.0, 5.0, 0.0]])


class TestActions:
    @pytest.mark.parametrize("form", [{"action_space": "categorical"}, {"spec": Categorical(3)}])
    def test_an_index(self, form):
        action, values, chosen = QValueModule(**form)(VALUES)
        assert action.tolist() == [1, 0]
        assert values is VALUES
        assert chosen.tolist() == [[3.0], [6.0]]

    @pytest.mark.parametrize("form", [{"action_space": "one_hot"}, {"spec": OneHot(3)}])
    def test_a_vector(self, form):
        action, _, chosen = QValueModule(**form)(VALUES)
        assert action.tolist() == [[0, 1, 0], [1, 0, 0]]
        assert chosen.tolist() == [[3.0], [6.0]]

    def test_several_components_are_worth_their_sum(self):
        values = torch.tensor([[1.0, 2.0, 10.0, 30.0, 20.0]])
        action, _, chosen = QValueModule(spec=MultiDiscrete([2, 3]))(values)
        assert (action.tolist(), chosen.tolist()) == ([[1, 1]], [[32.0]])
        action, _, chosen = QValueModule("mult-one-hot", var_nums=[2, 3])(values)
        assert (action.tolist(), chosen.tolist()) == ([[0, 1, 0, 1, 0]], [[32.0]])

    @pytest.mark.parametrize("form", [{"action_space": "binary"}, {"spec": MultiBinary(3)}])
    def test_bits(self, form):
        action, _, chosen = QValueModule(**form)(torch.tensor([[1.0, -3.0, 2.0]]))
        assert (action.tolist(), chosen.tolist()) == ([[1, 0, 1]], [[3.0]])

    @pytest.mark.parametrize("form", ["categorical", "one-hot"])
    def test_of_values_that_tie_one_action_is_taken_and_its_value_counts_once(self, form):
        action, _, chosen = QValueModule(form)(torch.full((5, 4), 2.5))
        assert action.reshape(5, -1).shape[-1] == 1 or action.sum(-1).tolist() == [1] * 5
        assert chosen.tolist() == [[2.5]] * 5

    @pytest.mark.parametrize("batch", [(), (2,), (2, 5)])
    def test_any_batch_will_do(self, batch):
        action, _, chosen = QValueModule(spec=OneHot(4))(torch.randn(*batch, 4))
        assert (action.shape, chosen.shape) == ((*batch, 4), (*batch, 1))

    def test_the_type_is_that_of_the_spec(self):
        assert QValueModule(spec=OneHot(3, dtype=torch.bool))(VALUES)[0].dtype is torch.bool
        assert QValueModule(spec=Categorical(3, dtype=torch.int32))(VALUES)[0].dtype is torch.int32
        assert QValueModule("one-hot")(VALUES)[0].dtype is torch.int64

    def test_gradients_flow_to_the_value_that_was_chosen(self):
        values = VALUES.clone().requires_grad_()
        QValueModule("categorical")(values)[2].sum().backward()
        assert values.grad.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


class TestMasks:
    def test_what_is_forbidden_is_not_taken_and_the_values_stay(self):
        mask = torch.tensor([[True, False, True], [False, True, True]])
        td = TensorDict(action_value=VALUES.clone(), mask=mask, batch_size=[2])
        QValueModule("categorical", action_mask_key="mask")(td)
        assert td["action"].tolist() == [2, 1]
        assert td["chosen_action_value"].tolist() == [[2.0], [5.0]]
        assert torch.equal(td["action_value"], VALUES)

    def test_of_each_component(self):
        values, mask = torch.tensor([[1.0, 2.0, 10.0, 30.0, 20.0]]), torch.tensor([[1, 0, 1, 0, 1]])
        action, _, chosen = QValueModule(spec=MultiDiscrete([2, 3]), action_mask_key="mask")(values, mask)
        assert (action.tolist(), chosen.tolist()) == ([[0, 2]], [[21.0]])

    def test_a_row_that_allows_nothing_is_named(self):
        mask = torch.tensor([[True, True, True], [False, False, False]])
        with pytest.raises(SpecError, match=r"QValueModule cannot choose .* the action mask of row \[1\] allows none"):
            QValueModule("categorical", action_mask_key="mask")(VALUES, mask)

    def test_where_nobody_looks_such_a_row_shows_in_its_value(self):
        module = QValueModule("categorical", action_mask_key="mask")
        _, _, chosen = torch.vmap(module.compute)(VALUES, torch.zeros(2, 3, dtype=torch.bool))
        assert chosen.tolist() == [[-math.inf]] * 2

    def test_an_absent_mask_is_an_error(self):
        with pytest.raises(MissingKeyError, match="it reads 'mask', which the TensorDict does not hold"):
            QValueModule("categorical", action_mask_key="mask")(TensorDict(action_value=VALUES, batch_size=[2]))


TWICE = "its actions are given more than once"


class TestKeys:
    def test_by_default(self):
        module = QValueModule("categorical")
        assert (module.in_keys, module.out_keys) == (
            ["action_value"],
            ["action", "action_value", "chosen_action_value"],
        )

    def test_others(self):
        module = QValueModule("categorical", ("a", "q"), ("a", "mask"))
        assert module.in_keys == [("a", "q"), ("a", "mask")]
        assert module.out_keys == ["action", ("a", "q"), "chosen_action_value"]
        module = QValueModule("categorical", "q", out_keys=[("a", "move"), "copy", "best"])
        assert (module.action_key, module.action_value_key, module.chosen_action_value_key) == (
            ("a", "move"), "q", "best",
        )  # fmt: skip
        td = module(TensorDict(q=VALUES, batch_size=[2]))
        assert torch.equal(td["copy"], VALUES)

    def test_a_space_and_a_composite_are_specs(self):
        assert QValueModule(spec=spaces.Discrete(3)).spec == Categorical(3)
        assert QValueModule(spaces.MultiDiscrete([2, 3])).spec == MultiDiscrete([2, 3])
        spec = Composite({"action": OneHot(3), "other": Categorical(5)})
        assert QValueModule(spec=spec).spec == OneHot(3)

    def test_two_out_keys_are_refused(self):
        with pytest.raises(ContractError) as error:
            QValueModule("categorical", out_keys=["action", "chosen_action_value"])
        assert str(error.value) == (
            "QValueModule cannot be built: 1 finding.\n"
            "1. out_keys names 2 entries.\n"
            "   provided: out_keys=['action', 'chosen_action_value']\n"
            "   name 3: the action, the values, the chosen action's value."
        )

    @pytest.mark.parametrize(
        ("form", "got", "problem"),
        [
            ({}, "none", "nobody has said what its actions are"),
            ({"action_space": "binary", "spec": MultiBinary(3)}, "spec, action_space", TWICE),
            ({"action_space": "binary", "action_spec": MultiBinary(3)}, "action_spec, action_space", TWICE),
            ({"spec": MultiBinary(3), "action_spec": MultiBinary(3)}, "spec, action_spec", TWICE),
        ],
    )
    @pytest.mark.parametrize("kind", [QValueModule, partial(QValueActor, nn.Linear(3, 3))])
    def test_actions_are_described_once_and_the_class_is_named_that_was_called(self, kind, form, got, problem):
        name = kind.func.__name__ if isinstance(kind, partial) else kind.__name__
        with pytest.raises(UsageError) as error:
            kind(**form)
        assert str(error.value) == (
            f"{name} cannot be built: {problem}.\n"
            "  where: spec, action_spec, action_space\n"
            "  expected: one of them\n"
            f"  got: {got}\n"
            "  fix: spec=env.action_spec, or action_space='categorical'"
        )

    @pytest.mark.parametrize("name", ["spec", "action_spec", "action_space"])
    def test_a_spec_under_each_of_its_names(self, name):
        spec, atoms = Categorical(3), torch.linspace(-1.0, 1.0, 5)
        for kind in (
            QValueModule,
            partial(QValueActor, nn.Linear(3, 3)),
            partial(DistributionalQValueModule, support=atoms),
            partial(DistributionalQValueActor, nn.Linear(3, 3), atoms),
        ):
            assert kind(**{name: spec}).spec == spec

    def test_atoms_that_nobody_gave(self):
        with pytest.raises(SpecError) as error:
            DistributionalQValueModule(spec=Categorical(3))
        assert str(error.value) == (
            "DistributionalQValueModule cannot be built: its atoms are no vector.\n"
            "  where: support\n"
            "  expected: the returns that are told apart, of shape [N]\n"
            "  got: None\n"
            "  fix: support=torch.linspace(-10.0, 10.0, 51)"
        )

    @pytest.mark.parametrize(
        ("kind", "advice"),
        [
            (QValueModule, "let another be read: renamed({'mask': ...})."),
            (partial(QValueActor, TensorDictModule(nn.Linear(3, 3), "x", "q")), "change in_keys."),
        ],
        ids=["module", "actor"],
    )
    def test_an_absent_mask_is_not_said_to_be_optional(self, kind, advice):
        greedy = kind(spec=Categorical(3), action_value_key="q", action_mask_key="mask")
        with pytest.raises(MissingKeyError) as error:
            greedy(TensorDict(x=torch.zeros(2, 3), q=torch.zeros(2, 3), batch_size=[2]))
        assert str(error.value).endswith(
            "it reads 'mask', which the TensorDict does not hold.\n"
            "   the TensorDict holds: 'x', 'q'\n"
            f"   Store the entry under 'mask', or {advice}"
        )

    def test_a_network_of_another_size_is_refused(self):
        with pytest.raises(SpecError, match="QValueModule cannot choose: there are not as many values as choices"):
            QValueModule(spec=Categorical(4))(VALUES)
