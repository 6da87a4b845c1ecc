"""What goes wrong for those who use actors elsewhere, and not here: one test for each of the defects that are known."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork import specs
from keywork._errors import KeyworkError, SpecError
from keywork.distributions import Categorical, NormalParamExtractor, OneHotCategorical, TanhNormal
from keywork.modules import (
    Actor,
    ActorCriticOperator,
    ActorCriticWrapper,
    ActorValueOperator,
    AdditiveGaussianModule,
    EGreedyModule,
    EnsembleModule,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    QValueActor,
    RandomPolicy,
    TanhModule,
    ValueOperator,
)
from keywork.nn import TensorDictModule, TensorDictSequential, exploration_type, set_exploration_type

NOISELESS = ("deterministic", "mode", "mean")


def gaussian(**options) -> ProbabilisticActor:
    net = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor())
    step = TensorDictModule(net, ["observation"], ["loc", "scale"])
    return ProbabilisticActor(step, ["loc", "scale"], distribution_class=TanhNormal, return_log_prob=True, **options)


def choice(kind: Callable[..., torch.distributions.Distribution]) -> ProbabilisticActor:
    step = TensorDictModule(nn.Linear(3, 4), ["observation"], ["logits"])
    return ProbabilisticActor(step, ["logits"], distribution_class=kind, return_log_prob=True)


def observed(batch: int = 5) -> TensorDict:
    return TensorDict(observation=torch.randn(batch, 3), batch_size=[batch])


class TestExplorationType:
    def test_of_one_thread_reaches_no_policy_of_another(self):
        """A process-wide switch lets an evaluation silence the collector beside it."""
        policy = TensorDictSequential(gaussian().select_out_keys("action"), AdditiveGaussianModule(safe=False))
        evaluating, done, drawn = threading.Event(), threading.Event(), list[bool]()
        td = observed()

        def evaluate() -> None:
            with set_exploration_type("deterministic"):
                evaluating.set()
                done.wait(10)

        def collect() -> None:
            assert exploration_type() is None
            drawn.append(not torch.equal(policy(td.copy())["action"], policy(td.copy())["action"]))

        threads = [threading.Thread(target=evaluate), threading.Thread(target=collect)]
        threads[0].start()
        assert evaluating.wait(10)
        threads[1].start()
        threads[1].join(10)
        done.set()
        threads[0].join(10)
        assert drawn == [True]

    @pytest.mark.parametrize("kind", NOISELESS)
    def test_without_noise_reaches_every_module_of_a_policy(self, kind):
        noise = AdditiveGaussianModule(specs.Bounded(-1.0, 1.0, (2,)))
        policy = TensorDictSequential(TensorDictSequential(gaussian().select_out_keys("action")), noise)
        td = observed()
        with set_exploration_type(kind):
            assert torch.equal(policy(td.copy())["action"], policy(td.copy())["action"])
        assert not torch.equal(policy(td.copy())["action"], policy(td.copy())["action"])

    def test_is_not_that_of_train_and_eval(self):
        actor, td = gaussian().eval(), observed()
        assert not torch.equal(actor(td.copy())["action"], actor(td.copy())["action"])
        with set_exploration_type("mode"):
            assert torch.equal(actor.train()(td.copy())["action"], actor(td.copy())["action"])

    def test_the_log_prob_of_a_noise_free_action_is_a_number(self):
        """The mean of a discrete distribution is no action: to score it crashes, or gives NaN."""
        for actor in (gaussian(), choice(Categorical), choice(OneHotCategorical)):
            for kind in NOISELESS:
                with set_exploration_type(kind):
                    td = actor(observed())
                assert td["sample_log_prob"].isfinite().all()
                torch.testing.assert_close(actor.log_prob(td), td["sample_log_prob"], atol=1e-4, rtol=1e-4)


class TestSaturation:
    def test_a_policy_that_is_saturated_trains_on(self):
        """Elsewhere its own action scores −91 373 instead of 99.97, with a gradient to match."""
        actor = gaussian()
        with torch.no_grad():
            actor[0].module[0].weight.zero_()
            actor[0].module[0].bias.copy_(torch.tensor([50.0, -50.0, -2.0, -2.0]))
        td = actor(observed(64))
        assert (td["action"].abs() == 1).all() and (td["sample_log_prob"] > 150).all()
        ratio = (actor.log_prob(td) - td["sample_log_prob"].detach()).exp()
        assert ratio.isfinite().all()
        ratio.mean().backward()
        assert all(parameter.grad.isfinite().all() for parameter in actor.parameters())

    def test_the_score_that_is_stored_is_the_one_of_the_draw(self):
        actor = gaussian()
        td = actor(observed(64))
        torch.testing.assert_close(actor.log_prob(td), td["sample_log_prob"], atol=1e-3, rtol=1e-3)


class TestStoredActions:
    @pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int64, torch.float32])
    def test_one_hot_vectors_of_any_type_are_scored(self, dtype):
        actor = choice(OneHotCategorical)
        td = actor(observed())
        stored = td["sample_log_prob"]
        torch.testing.assert_close(actor.log_prob(td.set("action", td["action"].to(dtype))), stored)

    def test_an_index_for_a_one_hot_vector_is_refused(self):
        actor = choice(OneHotCategorical)
        td = actor(observed())
        with pytest.raises(SpecError, match="It looks like an index"):
            actor.log_prob(td.set("action", td["action"].argmax(-1)))

    def test_an_index_with_a_trailing_dimension_is_refused(self):
        """To broadcast it would score every action with every state's distribution."""
        actor = choice(Categorical)
        td = actor(observed())
        with pytest.raises(SpecError, match=r"cannot score a value of shape \[5, 1\]"):
            actor.log_prob(td.set("action", td["action"].unsqueeze(-1)))


class TestContainer:
    @pytest.mark.parametrize("keys", [["action"], ["action", "sample_log_prob"], []])
    def test_selecting_outputs_leaves_unrelated_entries_alone(self, keys):
        """The field's base class deletes them from the TensorDict that it is given."""
        actor = gaussian().select_out_keys(*keys)
        td = actor(observed().set("reward", torch.zeros(5, 1)).set(("deep", "entry"), torch.ones(5)))
        assert set(td.keys(include_nested=True, leaves_only=True)) == {
            *("observation", "reward", ("deep", "entry"), *keys)
        }
        head = Actor(nn.Linear(3, 2)).select_out_keys()
        assert set(head(observed().set("z", torch.ones(5))).keys()) == {"observation", "z"}

    def test_the_key_of_the_log_prob_can_be_asked_of_the_actor(self):
        """An AttributeError of a ModuleList elsewhere."""
        actor = gaussian(log_prob_key=("agent", "score"))
        assert actor.log_prob_key == ("agent", "score") and actor.log_prob_keys == [("agent", "score")]
        assert actor(observed())["agent", "score"].shape == (5,)

    def test_arguments_by_name_survive_in_a_sequential(self):
        first = TensorDictModule(lambda x, y: x - y, {"y": ("deep", "a"), "x": "b"}, ["loc"])
        second = TensorDictModule(lambda *, value: value.exp(), {"value": "loc"}, ["scale"])
        chain = TensorDictSequential(TensorDictSequential(first), second)
        td = TensorDict({("deep", "a"): torch.tensor([1.0]), "b": torch.tensor([5.0])}, batch_size=[1])
        assert chain(td)["loc"].tolist() == [4.0] and set(chain.in_keys) == {("deep", "a"), "b"}

    def test_none_for_the_keys_of_a_module_is_refused(self):
        with pytest.raises(TypeError, match="Keys are one key or a list of keys"):
            TensorDictModule(nn.Linear(3, 2), None, ["y"])


class TestSwappedParameters:
    """Elsewhere the user's actor keeps tensors that have escaped from vmap after a loss that failed."""

    def test_are_gone_after_a_failure_in_vmap(self):
        actor, td = gaussian(), observed()
        own = dict(actor.named_parameters())
        stacked, _ = torch.func.stack_module_state([copy.deepcopy(actor) for _ in range(3)])

        def call(params, data):
            return torch.func.functional_call(actor, params, (data,))["action"]

        with pytest.raises(KeyworkError):
            torch.vmap(call, (0, None), randomness="different")(stacked, TensorDict(other=torch.zeros(5, 3)))
        assert all(parameter is own[name] for name, parameter in actor.named_parameters())
        actions = torch.vmap(call, (0, None), randomness="different")(stacked, td)
        assert actions.shape == (3, 5, 2)
        actor(td)["action"].sum().backward()
        assert all(parameter.grad is not None for parameter in own.values())

    @pytest.mark.parametrize("vectorize", [True, False])
    def test_of_an_ensemble_are_its_own_again_after_a_failure(self, vectorize):
        several = EnsembleModule(gaussian(), 3, vectorize=vectorize)
        own = dict(several.named_parameters())
        with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied|Expected size"):
            several(torch.zeros(5, 4))
        assert all(parameter is own[name] for name, parameter in several.named_parameters())
        assert several(observed())["action"].shape == (5, 3, 2)


class TestOperators:
    @pytest.mark.parametrize("kind", [ActorValueOperator, ActorCriticOperator])
    def test_a_value_of_states_may_stand_behind_any_actor(self, kind):
        """The field refuses a value head that writes "state_value", and gives no distribution for a plain actor."""
        trunk = TensorDictModule(nn.Linear(3, 8), ["observation"], ["hidden"])
        net = nn.Sequential(nn.Linear(8, 4), NormalParamExtractor())
        heads = [
            ProbabilisticActor(
                TensorDictModule(net, ["hidden"], ["loc", "scale"]), ["loc", "scale"], distribution_class=TanhNormal
            ),
            Actor(nn.Linear(8, 2), ["hidden"]),
            TensorDictSequential(TensorDictModule(nn.Linear(8, 2), ["hidden"], ["u"]), TanhModule("u", "action")),
        ]
        for head in heads:
            both = kind(trunk, head, ValueOperator(nn.Linear(8, 1), ["hidden"]))
            assert both(observed())["state_value"].shape == (5, 1)
            assert both.get_value_operator()(observed())["state_value"].shape == (5, 1)
            policy = both.get_policy_operator()
            assert policy(observed())["action"].shape == (5, 2)
            assert hasattr(policy, "get_dist") == hasattr(head, "get_dist")
            shared = {id(p) for p in both.parameters()}
            assert {id(p) for p in policy.parameters()} < shared

    @pytest.mark.parametrize("noise", ["random", "deterministic"])
    def test_the_critic_beside_an_actor_sees_none_of_its_noise(self, noise):
        both = ActorCriticWrapper(gaussian(), ValueOperator(nn.Linear(3, 1)))
        td = observed()
        with set_exploration_type(noise):
            assert torch.equal(both(td.copy())["state_value"], both.get_value_operator()(td.copy())["state_value"])


BOX = specs.Bounded([-1.0, -2.0], [3.0, 2.0])
FOUR = specs.Categorical(4)


class TestSpecs:
    @pytest.mark.parametrize(
        ("spec", "make"),
        [
            (FOUR, lambda spec: EGreedyModule(spec, action_mask_key="mask")),
            (FOUR, lambda spec: QValueActor(nn.Linear(3, 4), spec=spec, action_mask_key="mask")),
            (specs.OneHot(4), lambda spec: EGreedyModule(spec, action_mask_key="mask")),
            (BOX, AdditiveGaussianModule),
            (BOX, OrnsteinUhlenbeckProcessModule),
            (BOX, RandomPolicy),
            (BOX, lambda spec: TanhModule("action", spec=spec)),
            (BOX, lambda spec: gaussian(spec=spec["action"] if isinstance(spec, specs.Composite) else spec)),
        ],
    )
    @pytest.mark.parametrize("form", [lambda spec: spec, lambda spec: specs.Composite({"action": spec})])
    def test_of_the_user_stay_as_they_were(self, spec, make, form):
        """Elsewhere a mask is written into the spec, and keys are added to it."""
        given = form(spec)
        before = copy.deepcopy(given)
        module = make(given)
        td = observed().set("action", spec.rand(5)).set("mask", torch.tensor([True, False, True, True]).expand(5, 4))
        td.set("is_init", torch.ones(5, 1, dtype=torch.bool)).set("_ou_action_noise", torch.zeros(5, 2))
        td = module(td)
        assert spec.is_in(td["action"]) and given == before and repr(given) == repr(before)

    @pytest.mark.parametrize("name", ["spec", "action_space", "action_spec"])
    @pytest.mark.parametrize(
        "make", [AdditiveGaussianModule, OrnsteinUhlenbeckProcessModule, RandomPolicy], ids=lambda kind: kind.__name__
    )
    def test_are_taken_under_each_of_their_names(self, make, name):
        assert make(**{name: BOX}).spec == BOX
        with pytest.raises(KeyworkError, match="its spec is given more than once"):
            make(BOX, **{"action_space" if make is RandomPolicy else "action_spec": BOX})

    def test_nobody_looks_at_them_before_they_explore(self):
        """A module that waits for its spec says so in words, not with an AttributeError of None."""
        for module in (EGreedyModule(), AdditiveGaussianModule(), RandomPolicy()):
            with pytest.raises(SpecError, match="nobody has said what an action is"):
                module(TensorDict(action=torch.zeros(5), batch_size=[5]))

    def test_a_wide_action_space_is_reached_to_its_ends(self):
        """A tanh that keeps its own bounds never leaves −1 to 1."""
        actor = gaussian(spec=specs.Bounded([-10.0, 0.0], [30.0, 0.5]))
        with torch.no_grad():
            actor[0].module[0].bias.copy_(torch.tensor([20.0, -20.0, 0.0, 0.0]))
        td = actor(observed())
        torch.testing.assert_close(td["action"], torch.tensor([30.0, 0.0]).expand(5, 2))


class TestChosenValue:
    @pytest.mark.parametrize("masked", [False, True])
    def test_is_that_of_the_action_which_is_taken(self, masked):
        """Elsewhere it stays that of the greedy action where another one is taken."""
        mask = {"action_mask_key": "mask"} if masked else {}
        explore = EGreedyModule(FOUR, eps_init=1.0, eps_end=1.0, action_value_key="action_value", **mask)
        policy = TensorDictSequential(QValueActor(nn.Linear(3, 4), spec=FOUR, **mask), explore)
        td = observed(500).set("mask", torch.tensor([True, False, True, True]).expand(500, 4))
        td = policy(td)
        assert (td["action"] != td["action_value"].argmax(-1)).any()
        assert torch.equal(td["chosen_action_value"], td["action_value"].gather(-1, td["action"].unsqueeze(-1)))
        assert not masked or not (td["action"] == 1).any()

    @pytest.mark.parametrize("spec", [FOUR, specs.OneHot(4)])
    def test_of_values_that_tie_one_action_is_taken(self, spec):
        """Elsewhere the vector has a one for each of them, and the value is the sum."""
        td = QValueActor(nn.Identity(), in_keys=["values"], spec=spec)(TensorDict(values=torch.ones(2, 4)))
        assert td["chosen_action_value"].tolist() == [[1.0], [1.0]]
        assert spec.is_in(td["action"])


class TestTwoProcessesOfNoise:
    def test_keep_apart_in_one_policy(self):
        """Fixed keys make the state of one the state of the other."""
        box = specs.Bounded(-1.0, 1.0, (1,))
        first = OrnsteinUhlenbeckProcessModule(box, action_key="arm", mu=5.0, theta=10.0, sigma=0.0)
        second = OrnsteinUhlenbeckProcessModule(box, action_key="leg", mu=-5.0, theta=10.0, sigma=0.0)
        td = TensorDict(arm=torch.zeros(2, 1), leg=torch.zeros(2, 1), batch_size=[2])
        td.update({"_ou_arm_noise": torch.zeros(2, 1), "_ou_leg_noise": torch.zeros(2, 1)})
        td = TensorDictSequential(first, second)(td.set("is_init", torch.ones(2, 1, dtype=torch.bool)))
        # From zero a tenth of the way to the mean: 10 · 0.01 · (±5 − 0) = ±0.5.
        assert td["next", "_ou_arm_noise"].tolist() == [[0.5], [0.5]]
        assert td["next", "_ou_leg_noise"].tolist() == [[-0.5], [-0.5]]
        assert (td["arm"] == 0.5).all() and (td["leg"] == -0.5).all()
