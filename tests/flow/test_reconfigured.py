"""flow.renamed, flow.replaced, flow.between: each a new flow, checked anew, of modules that share their parameters."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule as TheirModule
from torch import nn

from keywork._errors import ContractError
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.flow import Flow, Part
from keywork.modules import EGreedyModule, GRUModule, ProbabilisticActor, QValueActor, ValueOperator
from keywork.nn import TensorDictModule, TensorDictSequential
from keywork.objectives import GAE, ClipPPOLoss
from keywork.specs import Categorical as Choices
from keywork.specs import Unbounded


def net(inputs=4, outputs=2, reads="observation", writes="logits"):
    return TensorDictModule(nn.Linear(inputs, outputs), [reads], [writes])


def actor(inputs=4):
    return ProbabilisticActor(net(inputs), ["logits"], distribution_class=Categorical, return_log_prob=True)


def ppo(env):
    policy, critic = actor(), ValueOperator(nn.Linear(4, 1))
    loss = ClipPPOLoss(policy, critic)
    return Flow(env, policy, GAE(0.99, 0.95, critic), loss, torch.optim.Adam(loss.parameters()))


@pytest.fixture(scope="module")
def cartpole():
    return GymEnv("CartPole-v1")


class TestRenamed:
    def test_every_part_follows_and_the_first_flow_stays(self, cartpole):
        flow = ppo(cartpole)
        before = flow.table()
        other = flow.renamed({"observation": "pixels", "action": ("agents", "action"), "logits": "scores"})
        assert flow.table() == before
        assert other.findings == ()
        assert [part.name for part in other.parts] == [part.name for part in flow.parts]
        assert [part.kind for part in other.parts] == [part.kind for part in flow.parts]
        assert other["pixels"].holds == flow["observation"].holds
        assert other["pixels"].read_by == flow["observation"].read_by
        assert other["next", "pixels"].written_by == flow["next", "observation"].written_by
        assert other["agents", "action"].holds.domain == "{0..1}"
        assert [carry.key for carry in other.graph.carries if carry.key == "pixels"] == ["pixels"]

    def test_the_modules_share_their_parameters(self):
        policy = actor()
        other = Flow(policy).renamed({"observation": "pixels"})
        assert other.modules["Linear"].module is policy[0].module
        chain = TensorDictSequential(other.modules)
        assert chain.in_keys == ["pixels"]

    def test_there_and_back_is_the_same_table(self, cartpole):
        flow = ppo(cartpole)
        names = {"observation": "pixels", "action": ("agents", "action"), "advantage": "gain"}
        assert flow.renamed(names).renamed({new: old for old, new in names.items()}).table() == flow.table()

    def test_a_dict_of_specs_and_a_part(self):
        flow = Flow({"observation": Unbounded(4)}, net(), Part("shelf", "buffer", keeps=("observation", "logits")))
        other = flow.renamed({"observation": "pixels"})
        assert other["pixels"].holds.shape == (4,)
        assert other.parts[-1].keeps == ("pixels", "logits")

    def test_a_module_of_another_library_runs_under_its_new_keys(self):
        flow = Flow({"observation": Unbounded(4)}, TheirModule(nn.Linear(4, 2), ["observation"], ["logits"]))
        other = flow.renamed({"observation": "pixels", "logits": "scores"})
        assert other["scores"].holds.shape == (2,)
        (module,) = other.modules.values()
        assert module(TensorDict(pixels=torch.zeros(3, 4), batch_size=[3]))["scores"].shape == (3, 2)

    def test_an_unknown_name_and_a_taken_one(self):
        with pytest.raises(ContractError) as caught:
            Flow(net()).renamed({"observatoin": "pixels"})
        assert str(caught.value) == (
            "Flow under other keys cannot be built: 1 finding.\n"
            "1. there is no 'observatoin' to rename.\n"
            "   provided: its keys 'observation', 'logits'\n"
            "   did you mean 'observation'? Rename one of these."
        )
        with pytest.raises(ValueError, match="the one name 'logits'"):
            Flow(net()).renamed({"observation": "logits"})


class TestReplaced:
    def test_one_part_by_its_name(self, cartpole):
        flow = ppo(cartpole)
        wide = TensorDictModule(
            nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2)), ["observation"], ["logits"]
        )
        other = flow.replaced("Linear", wide)
        assert [part.name for part in other.parts][1] == "Sequential"
        assert other["logits"].written_by == ("Sequential",)
        assert other.modules["Sequential"] is wide
        assert flow["logits"].written_by == ("Linear",)

    def test_by_several(self):
        chain = TensorDictSequential({"trunk": net(4, 8, writes="h"), "head": net(8, 2, "h")})
        other = Flow({"observation": Unbounded(4)}, actor()).replaced("Linear", chain)
        assert [part.name for part in other.parts] == ["inputs", "trunk", "head", "Categorical"]

    def test_an_environment_with_both_its_parts(self, cartpole):
        flow = Flow(cartpole, actor())
        other = flow.replaced("CartPole-v1", GymEnv("Acrobot-v1"), check=False)
        assert [part.name for part in other.parts] == ["Acrobot-v1", "Linear", "Categorical", "Acrobot-v1 step"]
        assert other["observation"].holds.shape == (6,)
        fitting = other.replaced("Linear", net(6, 3))
        assert fitting.findings == ()

    def test_an_optimiser(self, cartpole):
        flow = ppo(cartpole)
        parameters = flow.modules["ClipPPOLoss"].parameters()
        other = flow.replaced("Adam", torch.optim.SGD(parameters, lr=0.1))
        assert other.parts[-1].name == "SGD"
        assert other.parts[-1].reads == flow.parts[-1].reads

    def test_it_is_checked_anew(self, cartpole):
        flow = Flow(cartpole, actor())
        with pytest.raises(ContractError, match=r"Linear \(policy\) reads 'pixels', which nothing before it writes"):
            flow.replaced("Linear", net(reads="pixels"))
        with pytest.raises(ContractError) as caught:
            flow.replaced("Linaer", net())
        assert str(caught.value) == (
            "Flow with another part cannot be built: 1 finding.\n"
            "1. there is no part 'Linaer' to replace.\n"
            "   provided: its parts 'CartPole-v1', 'Linear', 'Categorical', 'CartPole-v1 step'\n"
            "   did you mean 'Linear'?"
        )


class TestBetween:
    def test_the_parts_on_the_way_and_what_comes_from_outside(self, cartpole):
        flow = ppo(cartpole)
        acting = flow.between("observation", "action")
        assert [part.name for part in acting.parts] == ["inputs", "Linear", "Categorical"]
        assert [entry.key for entry in acting.entries] == ["observation", "logits", "action", "sample_log_prob"]
        assert acting["observation"].holds == flow["observation"].holds
        learning = flow.between("advantage", "loss_objective")
        assert [part.name for part in learning.parts] == ["inputs", "ClipPPOLoss"]
        assert learning["advantage"].holds.shape == (1,)
        assert learning["loss_objective"].holds == flow["loss_objective"].holds

    def test_it_runs_as_those_parts_do(self):
        policy = actor()
        part = Flow(policy).between("observation", "logits")
        chain = TensorDictSequential(part.modules)
        assert chain.out_keys == ["logits"]
        x = torch.randn(3, 4)
        assert torch.equal(chain(x), policy[0](x))

    def test_from_the_beginning_and_to_the_end(self, cartpole):
        flow = ppo(cartpole)
        everything = flow.between()
        assert everything.table() == flow.table()
        to = flow.between(outputs="logits")
        assert [part.name for part in to.parts] == ["CartPole-v1", "Linear"]
        after = flow.between("advantage")
        assert [part.name for part in after.parts] == ["inputs", "ClipPPOLoss", "Adam"]

    def test_what_changes_a_key_lies_between_it_and_itself(self):
        policy = QValueActor(nn.Linear(4, 2), spec=Choices(2))
        flow = Flow({"observation": Unbounded(4)}, policy, EGreedyModule(Choices(2)))
        between = flow.between("action", "action")
        assert [part.name for part in between.parts] == ["inputs", "EGreedyModule"]

    def test_a_state_is_carried_inside(self, cartpole):
        policy = TensorDictSequential(GRUModule(4, 8, in_key="observation", out_key="h"), actor_on("h"))
        flow = Flow(cartpole, policy)
        part = flow.between("observation", "logits")
        assert part.parts[0].writes == ("observation", "is_init")
        assert [carry.key for carry in part.graph.carries] == ["recurrent_state"]
        assert part["recurrent_state"].holds.shape == (1, 8)

    def test_no_way_and_no_key(self, cartpole):
        flow = ppo(cartpole)
        with pytest.raises(ContractError) as caught:
            flow.between("advantage", "logits")
        assert str(caught.value) == (
            "Flow between two sets of keys cannot be built: 1 finding.\n"
            "1. no way leads from 'advantage' to 'logits'.\n"
            "   name keys of which the one follows from the other; None stands for the beginning, or the end."
        )
        with pytest.raises(ContractError, match=r"there is no 'logit'\.\n.*\n   did you mean 'logits'"):
            flow.between("observation", "logit")


def actor_on(key):
    return ProbabilisticActor(net(8, 2, key), ["logits"], distribution_class=Categorical)
