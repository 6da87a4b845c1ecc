import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError
from keywork.modules import DistributionalQValueActor, QValueActor
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.specs import Categorical, OneHot

ATOMS = torch.linspace(-1.0, 1.0, 5)


def observations() -> TensorDict:
    return TensorDict(observation=torch.randn(6, 3), batch_size=[6])


def net(*out_keys: str) -> TensorDictModule:
    return TensorDictModule(nn.Linear(3, 4), ["observation"], list(out_keys))


class TestQValueActor:
    def test_takes_the_action_of_the_highest_value(self):
        linear = nn.Linear(3, 4)
        td = QValueActor(linear, spec=Categorical(4))(observations())
        values = linear(td["observation"])
        assert torch.equal(td["action_value"], values)
        assert torch.equal(td["action"], values.argmax(-1))
        assert torch.equal(td["chosen_action_value"], values.amax(-1, keepdim=True))

    def test_keys(self):
        actor = QValueActor(
            nn.Bilinear(3, 3, 4),
            in_keys=["left", ("a", "right")],
            action_space="one-hot",
            action_value_key="q",
            action_mask_key="mask",
            action_key=("a", "move"),
            chosen_action_value_key="best",
        )
        assert actor.in_keys == ["left", ("a", "right"), "mask"]
        assert actor.out_keys == ["q", ("a", "move"), "best"]

    def test_a_key_module_says_itself_what_it_reads(self):
        actor = QValueActor(net("q"), spec=Categorical(4), action_value_key="q")
        assert (actor.in_keys, actor.out_keys) == (["observation"], ["q", "action", "chosen_action_value"])

    def test_is_a_sequential_that_other_modules_extend(self):
        actor = QValueActor(nn.Linear(3, 4), spec=OneHot(4))
        assert actor.spec == OneHot(4)
        chain = TensorDictSequential(actor, TensorDictModule(lambda q: q + 1.0, ["chosen_action_value"], ["more"]))
        td = chain(observations())
        assert torch.equal(td["more"], td["chosen_action_value"] + 1.0)

    def test_a_module_that_does_not_write_the_values_is_refused(self):
        with pytest.raises(ContractError) as error:
            QValueActor(net("logits"), spec=Categorical(4))
        assert str(error.value) == (
            "QValueActor cannot be built: 1 finding.\n"
            "1. the action values are read from 'action_value', which the module does not write.\n"
            "   provided: the module writes 'logits'\n"
            "   out_keys=['action_value'] for the module, or action_value_key='logits'."
        )

    def test_keys_of_a_key_module_that_are_given_again_have_to_be_the_same(self):
        assert QValueActor(net("action_value"), in_keys=["observation"], spec=Categorical(4)).in_keys == ["observation"]
        with pytest.raises(ContractError) as error:
            QValueActor(net("action_value"), in_keys=["pixels"], spec=Categorical(4))
        assert str(error.value) == (
            "QValueActor cannot be built: 1 finding.\n"
            "1. in_keys is ['pixels'], and the module is a key module that reads ['observation'].\n"
            "   leave in_keys out, or pass the plain network."
        )

    def test_an_unknown_argument_is_refused(self):
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'actions_key'; did you mean 'action_key'\?"):
            QValueActor(nn.Linear(3, 4), spec=Categorical(4), actions_key="move")


class TestDistributionalQValueActor:
    def make(self, **options) -> DistributionalQValueActor:
        network = nn.Sequential(nn.Linear(3, 20), nn.Unflatten(-1, (5, 4)))
        return DistributionalQValueActor(network, ATOMS, **options)

    def test_acts_on_expectations_of_normalised_probabilities(self):
        actor = self.make(spec=Categorical(4))
        td = actor(observations())
        p = actor[0].module(td["observation"]).softmax(-2)
        torch.testing.assert_close(td["action_value"].exp(), p)
        assert torch.equal(td["action"], (ATOMS @ p).argmax(-1))

    def test_may_be_given_log_probabilities(self):
        network = nn.Sequential(nn.Linear(3, 20), nn.Unflatten(-1, (5, 4)), nn.LogSoftmax(-2))
        actor = DistributionalQValueActor(network, ATOMS, action_space="one-hot", make_log_softmax=False)
        assert len(actor) == 2
        td = actor(observations())
        torch.testing.assert_close(td["action_value"].exp().sum(-2), torch.ones(6, 4))

    def test_keys(self):
        actor = self.make(in_keys=["state"], spec=OneHot(4), action_value_key="z", action_key="move")
        assert (actor.in_keys, actor.out_keys) == (["state"], ["z", "move"])

    def test_a_module_that_does_not_write_the_logits_is_refused(self):
        with pytest.raises(
            ContractError, match="action values are read from 'action_value', which the module does not"
        ):
            DistributionalQValueActor(net("logits"), ATOMS, spec=Categorical(4))

    def test_an_unknown_argument_is_refused(self):
        with pytest.raises(TypeError, match="unexpected keyword argument 'chosen_action_value_key'"):
            self.make(spec=Categorical(4), chosen_action_value_key="best")
