"""Other keys for the same networks: module.renamed, and another step in the place of one: sequential.replaced."""

from __future__ import annotations

import copy
import pickle

import gymnasium
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict
from tensordict.nn import TensorDictModule as TheirModule
from torch import nn

from keywork._errors import ContractError, MissingKeyError
from keywork._keys import next_key
from keywork.collectors import Collector
from keywork.distributions import Categorical, TanhNormal
from keywork.envs import GymEnv
from keywork.modules import (
    Actor,
    ActorCriticOperator,
    ActorCriticWrapper,
    ActorValueOperator,
    AdditiveGaussianModule,
    DistributionalQValueActor,
    EGreedyModule,
    EnsembleModule,
    GRUModule,
    LSTMModule,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    QValueActor,
    RandomPolicy,
    TanhModule,
    ValueOperator,
    WrapModule,
    as_tensordict_module,
    fill_action_specs,
    gSDEModule,
)
from keywork.nets import MLP
from keywork.nn import (
    Contract,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
    TensorDictSequential,
    set_exploration_type,
)
from keywork.objectives import GAE, ClipPPOLoss
from keywork.specs import Bounded, Composite, Unbounded
from keywork.specs import Categorical as Choices

NAMES = {
    "observation": "pixels",
    "action": ("agents", "action"),
    "is_init": "begins",
    "recurrent_state": "memory",
    "recurrent_state_h": ("memory", "h"),
    "_ou_action_noise": "wind",
    "_gsde_action_noise": "map",
    "state_value": "v",
    "reward": "gain",
}


def net(inputs=4, outputs=2, reads="observation", writes="logits"):
    return TensorDictModule(nn.Linear(inputs, outputs), [reads], [writes])


def discrete_actor(**options):
    return ProbabilisticActor(
        net(), ["logits"], distribution_class=Categorical, spec=Choices(2), return_log_prob=True, **options
    )


def actor_of_several():
    actions = Composite({("car", "steer"): Bounded(-2.0, 2.0, (1,)), ("car", "gear"): Choices(3)})
    return ProbabilisticActor.from_spec({"observation": Unbounded((4,))}, actions)


def recurrent_actor():
    return ProbabilisticActor(
        [GRUModule(4, 8, in_key="observation", out_key="features"), net(8, 2, "features")],
        ["logits"],
        distribution_class=Categorical,
        return_log_prob=True,
    )


def gsde_actor():
    return ProbabilisticTensorDictSequential(net(4, 2, writes="loc"), gSDEModule(2, 4, return_log_prob=True))


def trunk_and_heads():
    trunk = net(4, 8, writes="hidden")
    head = ProbabilisticActor(net(8, 2, "hidden"), ["logits"], distribution_class=Categorical, return_log_prob=True)
    return ActorValueOperator(trunk, head, ValueOperator(nn.Linear(8, 1), ["hidden"]))


def judged():
    critic = ValueOperator(MLP(8 + 2, 1), ["hidden", "action"])
    return ActorCriticOperator(net(4, 8, writes="hidden"), Actor(nn.Linear(8, 2), ["hidden"]), critic)


def atoms():
    network = nn.Sequential(nn.Linear(4, 5 * 2), nn.Unflatten(-1, (5, 2)))
    return DistributionalQValueActor(network, torch.linspace(-1.0, 1.0, 5), spec=Choices(2))


def ppo():
    return ClipPPOLoss(discrete_actor(), ValueOperator(nn.Linear(4, 1)))


MAKERS = {
    "module": net,
    "module of a dict": lambda: TensorDictModule(lambda x: {"y": x, "logits": 2 * x}, ["observation"], ["logits", "y"]),
    "sequential": lambda: TensorDictSequential(net(4, 8, writes="hidden"), net(8, 2, "hidden", "action")),
    "named steps": lambda: TensorDictSequential({"one": net(4, 8, writes="hidden"), "two": net(8, 2, "hidden")}),
    "nested": lambda: TensorDictSequential(net(4, 8, writes="h"), TensorDictSequential(net(8, 4, "h", "action"))),
    "actor": lambda: Actor(nn.Linear(4, 2), spec=Composite({"action": Bounded(-1.0, 1.0, (2,))})),
    "discrete actor": discrete_actor,
    "several actions": actor_of_several,
    "value": lambda: ValueOperator(nn.Linear(4, 1)),
    "both": lambda: ActorCriticWrapper(Actor(nn.Linear(4, 2)), ValueOperator(nn.Linear(4, 1))),
    "trunk and heads": trunk_and_heads,
    "judged": judged,
    "q-values": lambda: QValueActor(nn.Linear(4, 2), in_keys=["observation"], spec=Choices(2)),
    "masked q-values": lambda: QValueActor(nn.Linear(4, 2), spec=Choices(2), action_mask_key="action_mask"),
    "atoms": atoms,
    "gru": lambda: GRUModule(4, 8, in_key="observation", out_key="features"),
    "lstm": lambda: LSTMModule(4, 8, in_key="observation", out_key="features"),
    "recurrent actor": recurrent_actor,
    "e-greedy": lambda: EGreedyModule(Choices(2), action_mask_key="action_mask"),
    "gaussian": lambda: AdditiveGaussianModule(Bounded(-1.0, 1.0, (2,))),
    "ou": lambda: OrnsteinUhlenbeckProcessModule(Bounded(-1.0, 1.0, (2,))),
    "gsde": gsde_actor,
    "tanh": lambda: TanhModule(["action"], spec=Composite({"action": Bounded(-1.0, 1.0, (2,))})),
    "ensemble": lambda: EnsembleModule(ValueOperator(nn.Linear(4, 1)), 2),
    "ensemble of grus": lambda: EnsembleModule(GRUModule(4, 8, in_key="observation", out_key="features"), 2),
    "gae": lambda: GAE(0.9, 0.95, ValueOperator(nn.Linear(4, 1))),
    "ppo": ppo,
    "foreign step": lambda: TensorDictSequential(TheirModule(nn.Linear(4, 2), ["observation"], ["action"])),
    "wrapped step": lambda: TensorDictSequential(
        WrapModule(lambda td: td.set("y", td["observation"] + 1), in_keys=["observation"], out_keys=["y"])
    ),
}

WIDTHS = {"observation": 4, "action": 2, "is_init": 1, "done": 1, "terminated": 1, "reward": 1, "state_value": 1}


def entry(module, key):
    """Something that fits the key: of a batch [3, 5]."""
    carried = {k: s for part in reversed([*module.modules()]) for k, s in getattr(part, "carried_specs", {}).items()}
    name = key if isinstance(key, str) else key[-1]
    if key in carried:
        return carried[key].zero((3, 5)) + 0.5
    if name in ("is_init", "done", "terminated", "valid"):
        return torch.rand(3, 5, 1) < 0.3
    if name == "action_mask":
        return torch.ones(3, 5, 2, dtype=torch.bool)
    if name == "sample_log_prob":
        return torch.randn(3, 5) - 2.0
    if name in ("advantage", "value_target"):
        return torch.randn(3, 5, 1)
    if name == "action" and isinstance(module, ClipPPOLoss | EGreedyModule):
        return torch.randint(2, (3, 5))
    return torch.randn(3, 5, WIDTHS[name])


def relevant(module, names):
    keys = {k[1:] if len(k) > 2 else k[1] for k in module._all_keys if isinstance(k, tuple) and k[0] == "next"}
    return {old: new for old, new in names.items() if old in module._all_keys or old in keys}


def call(module, td):
    torch.manual_seed(0)
    result = module(td)
    return [result[key] for key in module.out_keys]


@pytest.mark.parametrize("name", MAKERS)
class TestEveryModule:
    def test_it_does_the_same_under_its_new_keys_and_shares_its_parameters(self, name):
        module = MAKERS[name]()
        before = module.contract
        names = relevant(module, NAMES) or {module.in_keys[0]: ("elsewhere", "x")}
        other = module.renamed(names)
        assert other is not module
        assert type(other) is type(module)
        assert module.contract == before
        assert other.contract == before.renamed(names)
        td = TensorDict({key: entry(module, key) for key in module.in_keys}, batch_size=[3, 5])
        moved = TensorDict(
            {k: td[old] for k, old in zip(other.in_keys, module.in_keys, strict=True)}, batch_size=[3, 5]
        )
        expected, got = call(module, td.copy()), call(other, moved)
        assert all(torch.equal(x, y) for x, y in zip(got, expected, strict=True))
        assert list(other.state_dict()) == list(module.state_dict())
        shared = {id(p) for p in (*module.parameters(), *module.buffers())}
        assert {id(p) for p in (*other.parameters(), *other.buffers())} == shared

    def test_there_and_back_is_the_same_module(self, name):
        module = MAKERS[name]()
        names = relevant(module, NAMES) or {module.in_keys[0]: ("elsewhere", "x")}
        back = module.renamed(names).renamed({new: old for old, new in names.items()})
        assert back.contract == module.contract
        td = TensorDict({key: entry(module, key) for key in module.in_keys}, batch_size=[3, 5])
        assert all(torch.equal(x, y) for x, y in zip(call(back, td.copy()), call(module, td.copy()), strict=True))

    def test_a_copy_does_as_it_does_and_shares_nothing(self, name):
        module = MAKERS[name]()
        names = relevant(module, NAMES) or {module.in_keys[0]: ("elsewhere", "x")}
        other = module.renamed(names)
        made = [copy.deepcopy(other)]
        if name not in ("module of a dict", "wrapped step"):  # lambdas, which pickle refuses
            made.append(pickle.loads(pickle.dumps(other)))
        td = TensorDict(
            {new: entry(module, old) for new, old in zip(other.in_keys, module.in_keys, strict=True)}, batch_size=[3, 5]
        )
        for one in made:
            assert one.contract == other.contract
            assert all(torch.equal(x, y) for x, y in zip(call(one, td.copy()), call(other, td.copy()), strict=True))
            assert not {id(p) for p in one.parameters()} & {id(p) for p in other.parameters()}


class Camera(gymnasium.Env):
    """Shows under "pixels" what others show as their observation."""

    observation_space = gymnasium.spaces.Dict({"pixels": gymnasium.spaces.Box(-1.0, 1.0, (4,))})
    action_space = gymnasium.spaces.Discrete(2)

    def _seen(self):
        return {"pixels": self.np_random.uniform(-1.0, 1.0, 4).astype("float32")}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._seen(), {}

    def step(self, action):
        return self._seen(), float(action), False, False, {}


class TestPolicies:
    def test_what_it_says_of_its_distribution_goes_along(self):
        actor = discrete_actor().renamed(
            {"action": ("agents", "action"), "sample_log_prob": ("agents", "score"), "logits": "scores"}
        )
        assert actor.in_keys == ["observation"]
        assert actor.dist_sample_keys == [("agents", "action")]
        assert actor.dist_params_keys == ["scores"]
        assert actor.log_prob_keys == [("agents", "score")]
        assert actor.log_prob_key == ("agents", "score")
        assert actor.spec == Choices(2)
        td = actor(TensorDict(observation=torch.randn(3, 4), batch_size=[3]))
        assert torch.equal(actor.log_prob(td), td["agents", "score"])
        assert torch.equal(actor.get_dist(td).logits, actor.dist_of(td["observation"]).logits)

    def test_a_renamed_argument_is_still_that_of_the_distribution(self):
        network = TensorDictModule(lambda x: (x, x.exp()), ["observation"], ["loc", "scale"])
        actor = ProbabilisticActor(network, ["loc", "scale"], distribution_class=TanhNormal)
        other = actor.renamed({"loc": "mean", "scale": "width"})
        td = other(TensorDict(observation=torch.zeros(3, 2), batch_size=[3]))
        assert set(td.keys()) == {"observation", "mean", "width", "action"}

    def test_of_several_actions_the_distribution_has_the_new_keys(self):
        actor = actor_of_several()
        other = actor.renamed({("car", "steer"): ("bus", "wheel")})
        assert other.dist_sample_keys == [("bus", "wheel"), ("car", "gear")]
        assert other.spec.keys() == (("bus", "wheel"), ("car", "gear"))
        assert actor.spec.keys() == (("car", "steer"), ("car", "gear"))
        assert other.distribution_kwargs["name_map"] == {
            ("car", "steer"): ("bus", "wheel"),
            ("car", "gear"): ("car", "gear"),
        }
        td = other(TensorDict(observation=torch.randn(3, 4), batch_size=[3]))
        assert other.get_dist(td).keys() == (("bus", "wheel"), ("car", "gear"))
        together = td["car", "steer_log_prob"] + td["car", "gear_log_prob"]
        assert torch.allclose(other.log_prob(td), together)

    def test_a_group_moves_with_all_that_is_in_it(self):
        other = actor_of_several().renamed({"car": "bus"})
        assert other.dist_sample_keys == [("bus", "steer"), ("bus", "gear")]
        assert other.log_prob_keys == [("bus", "steer_log_prob"), ("bus", "gear_log_prob")]

    def test_a_state_is_carried_under_its_new_key(self):
        gru = recurrent_actor().renamed({"recurrent_state": "memory", "is_init": "begins"})
        assert gru.contract.carries == ("memory",)
        assert ("next", "memory") in gru.out_keys
        assert gru[0].is_init_key == "begins"
        assert gru[0].carried_specs.keys() == ("memory",)
        noise = OrnsteinUhlenbeckProcessModule(Bounded(-1.0, 1.0, (2,))).renamed({"_ou_action_noise": "wind"})
        assert noise.carried_specs.keys() == ("wind",)
        assert gsde_actor().renamed({"_gsde_action_noise": "map"})[-1].carried_specs.keys() == ("map",)
        ensemble = EnsembleModule(GRUModule(4, 8, in_key="observation", out_key="features"), 2)
        assert ensemble.renamed({"recurrent_state": "memory"}).carried_specs.keys() == ("memory",)

    def test_noise_and_random_policies_are_given_the_spec_of_their_new_action(self):
        for module in (EGreedyModule(), RandomPolicy()):
            other = module.renamed({"action": ("agents", "action")})
            fill_action_specs(other, {("agents", "action"): Choices(3)})
            assert other.action_key == ("agents", "action")
            assert other.spec == Choices(3)
            assert module.spec is None
        td = RandomPolicy(Choices(3)).renamed({"action": "a"})(TensorDict(batch_size=[4]))
        assert td["a"].shape == (4,)
        # The original still has no form of its actions: it says so, and does not take the other's.
        untouched = EGreedyModule()
        fill_action_specs(untouched.renamed({"action": "a"}), {"a": Choices(3)})
        assert list(untouched.children()) == [untouched.annealing]

    def test_an_actor_and_critic_keeps_its_parts(self):
        both = trunk_and_heads()
        other = both.renamed({"observation": "pixels", "hidden": "features", "state_value": "v"})
        assert other.get_policy_operator().in_keys == ["pixels"]
        assert other.get_value_operator().out_keys == ["features", "v"]
        assert other.get_value_head().module is both.get_value_head().module

    def test_a_renamed_actor_acts_in_another_environment_and_trains(self):
        actor, critic = discrete_actor(), ValueOperator(nn.Linear(4, 1))
        names = {"observation": "pixels"}
        there, judge = actor.renamed(names), critic.renamed(names)
        batch = Collector(GymEnv(Camera, num_envs=2), there, frames_per_batch=16, seed=0).collect()
        assert batch["pixels"].shape == (2, 8, 4)
        GAE(0.99, 0.95, judge)(batch)
        loss = ClipPPOLoss(there, judge)
        optimiser = torch.optim.SGD(loss.parameters(), lr=0.1)
        before = actor[0].module.weight.clone()
        losses = loss(batch)
        assert losses["kl_approx"].abs() < 1e-6  # the batch is of this very policy
        (losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]).backward()
        optimiser.step()
        assert not torch.equal(actor[0].module.weight, before)  # the original has learnt: it is the same parameter

    def test_a_renamed_loss_and_estimator_read_a_batch_of_other_keys(self):
        names = {"observation": "pixels", "action": "move", "advantage": "gain"}
        gae = GAE(0.9, 0.95, ValueOperator(nn.Linear(4, 1))).renamed({"observation": "pixels", "advantage": "gain"})
        assert gae.in_keys[:2] == ["pixels", ("next", "pixels")]
        loss = ppo().renamed(names)
        assert loss.contract.reads == ("pixels", "move", "sample_log_prob", "gain", "value_target")


class TestWhatIsShared:
    def test_the_original_stays_as_it_is(self):
        module = net()
        other = module.renamed({"logits": "scores"})
        other.select_out_keys()
        other.register_forward_hook(lambda *args: None)
        other.extra = nn.Linear(1, 1)
        assert module.out_keys == ["logits"]
        assert not module._forward_hooks
        assert [name for name, _ in module.named_children()] == ["module"]

    def test_moving_one_moves_the_other(self):
        tanh = TanhModule(["action"], low=-2.0, high=2.0)
        other = tanh.renamed({"action": "a"})
        other.double()
        assert {b.dtype for b in tanh.buffers()} == {b.dtype for b in other.buffers()} == {torch.float64}

    def test_selected_outputs_stay_selected(self):
        chain = TensorDictSequential(net(4, 8, writes="h"), net(8, 2, "h"), selected_out_keys=["logits"])
        other = chain.renamed({"logits": "scores"})
        assert other.out_keys == ["scores"]
        assert other.reset_out_keys().out_keys == ["h", "scores"]
        assert net().select_out_keys("logits").renamed({"logits": "s"}).out_keys == ["s"]

    def test_steps_without_such_a_key_are_the_same_objects(self):
        chain = TensorDictSequential(net(4, 8, writes="h"), net(8, 2, "h"))
        assert chain.renamed({"logits": "s"})[0] is chain[0]

    def test_a_decorated_function(self):
        @as_tensordict_module(in_keys=["x"], out_keys=["y"])
        def double(x):
            return 2 * x

        other = double.renamed({"x": "a"})
        assert double.in_keys == ["x"]
        assert copy.deepcopy(other).in_keys == ["a"]
        assert other(torch.ones(2)).tolist() == [2.0, 2.0]

    def test_it_compiles(self):
        actor = discrete_actor().renamed({"observation": "pixels", "action": "move"})
        compiled = torch.compile(lambda *x: actor.compute(*x), backend="eager", fullgraph=True)
        x = torch.randn(3, 4)
        with set_exploration_type("mode"):
            assert all(torch.equal(a, b) for a, b in zip(compiled(x), actor.compute(x), strict=True))


class TestRefusals:
    def test_an_unknown_name(self):
        with pytest.raises(ContractError) as caught:
            net().renamed({"observatoin": "pixels"})
        assert str(caught.value) == (
            "TensorDictModule (Linear 4 -> 2) under other keys cannot be built: 1 finding.\n"
            "1. there is no 'observatoin' to rename.\n"
            "   provided: its keys 'observation', 'logits'\n"
            "   did you mean 'observation'? Rename one of these."
        )

    def test_one_name_for_two(self):
        with pytest.raises(ValueError, match="give 'observation' and 'logits' the one name 'logits'"):
            net().renamed({"observation": "logits"})

    def test_a_name_that_is_taken_where_it_is_not_seen(self):
        inner = TensorDictSequential(net(4, 8, writes="hidden"), net(8, 2, "hidden"), selected_out_keys=["logits"])
        with pytest.raises(ValueError, match="the one name 'hidden'"):
            TensorDictSequential(inner).renamed({"observation": "hidden"})

    def test_a_state_that_would_be_handed_on_to_nobody(self):
        with pytest.raises(ValueError, match="A Contract that carries 's' writes"):
            Contract(["h"], [("next", "h")], carries=["h"]).renamed({"h": "s", ("next", "h"): ("next", "h")})

    def test_what_is_checked_anew(self):
        chain = TensorDictSequential(net(4, 2, writes="loc"), net(4, 2, writes="scale"))
        with pytest.raises(ValueError, match="the one name 'scale'"):
            chain.renamed({"loc": "scale"})
        with pytest.raises(ContractError, match="inside it"):
            chain.renamed({"loc": "g", "scale": ("g", "scale")})

    def test_a_forward_of_its_own(self):
        class Own(TensorDictModuleBase):
            def forward(self, td):
                return td.set("y", td["x"] + 1)

        own = Own(["x"], ["y"])
        with pytest.raises(ContractError) as caught:
            own.renamed({"x": "a"})
        assert str(caught.value) == (
            "Own under other keys cannot be built: 1 finding.\n"
            "1. its forward(td) names its entries itself, out of reach of a renaming.\n"
            "   write compute(self, *inputs), or make a step of it: TensorDictSequential(module).renamed({...})."
        )
        chain = TensorDictSequential(own).renamed({"x": "a", "y": "b"})
        td = chain(TensorDict(a=torch.ones(2), x=torch.zeros(2), batch_size=[2]))
        assert td["b"].tolist() == [2.0, 2.0]
        assert td.get("y", None) is None
        with pytest.raises(MissingKeyError, match="'a'"):
            chain(TensorDict(x=torch.ones(2)))


def both(names):
    return names | {next_key(old): next_key(new) for old, new in names.items()}


class Sum(TensorDictModuleBase):
    def compute(self, *inputs):
        total = sum(inputs, torch.zeros(2))
        return tuple(total + number for number in range(1, len(self._out_keys) + 1))


LEAVES = ["a", "b", "c", ("next", "a"), ("next", "b"), ("g", "a")]
chains = st.lists(
    st.builds(
        lambda reads, writes: Sum(reads, writes),
        st.lists(st.sampled_from(LEAVES), max_size=3, unique=True),
        st.lists(st.sampled_from(LEAVES), max_size=2, unique=True),
    ),
    min_size=1,
    max_size=3,
).map(lambda steps: TensorDictSequential(*steps, external=LEAVES) if not _findings(steps) else steps[0])
bijections = st.permutations(["p", "q", "r", "s"]).map(lambda new: dict(zip(["a", "b", "c", "g"], new, strict=True)))


def _findings(steps):
    try:
        TensorDictSequential(*steps, external=LEAVES)
    except ContractError as error:
        return error.findings
    return ()


@given(chains, bijections, st.booleans())
def test_a_bijection_can_be_undone(module, names, spelt_out):
    names = {old: new for old, new in names.items() if any(old in (k, k[0], k[-1]) for k in module._all_keys)}
    names = {old: new for old, new in names.items() if not _unknown(module, old)}
    there = module.renamed(names)
    back = there.renamed({new: old for old, new in names.items()})
    assert back.contract == module.contract
    assert there.contract == module.contract.renamed(both(names) if spelt_out else names)
    td = TensorDict({key: torch.full((2,), float(i)) for i, key in enumerate(module.in_keys)}, batch_size=[2])
    assert all(torch.equal(x, y) for x, y in zip(call(back, td.copy()), call(module, td.copy()), strict=True))


def _unknown(module, name):
    try:
        module.renamed({name: "elsewhere"})
    except ContractError:
        return True
    return False


class TestReplaced:
    def test_by_name_and_by_number(self):
        chain = TensorDictSequential({"trunk": net(4, 8, writes="h"), "head": net(8, 2, "h")})
        head = net(8, 3, "h")
        for step in ("head", 1, -1):
            other = chain.replaced(step, head)
            assert other["head"] is head
            assert other["trunk"] is chain["trunk"]
            assert list(other.state_dict()) == list(chain.state_dict())
        assert chain["head"] is not head
        assert chain(torch.zeros(1, 4))[1].shape == (1, 2)
        assert chain.replaced(1, head)(torch.zeros(1, 4))[1].shape == (1, 3)

    def test_the_type_and_what_it_says_stay(self):
        actor = discrete_actor()
        other = actor.replaced(0, net(6, 2, "pixels"))
        assert type(other) is ProbabilisticActor
        assert other.spec == Choices(2)
        assert other.in_keys == ["pixels"]
        both = trunk_and_heads()
        critic = ValueOperator(nn.Linear(8, 1), ["hidden"])
        assert both.replaced(2, critic).get_value_head() is critic
        q = QValueActor(nn.Linear(4, 2), in_keys=["observation"], spec=Choices(2))
        assert q.replaced(0, net(6, 2, "pixels", "action_value")).in_keys == ["pixels"]

    def test_it_is_checked_anew(self):
        with pytest.raises(ContractError) as caught:
            TensorDictSequential(net(4, 8, writes="hidden"), net(8, 2, "hidden")).replaced(0, net(writes="hiden"))
        assert str(caught.value) == (
            "TensorDictSequential cannot be built: 1 finding.\n"
            "1. step 1 (Linear 8 -> 2) reads 'hidden', which nothing before it writes.\n"
            "   provided: 'observation' (input), 'hiden' (written by step 0, read by no one)\n"
            "   did you mean 'hiden'? Rename one of the two, or pass external=['hidden'] if it comes from outside."
        )
        with pytest.raises(ContractError, match="ProbabilisticActor cannot be built"):
            discrete_actor().replaced(0, net(writes="logit"))
        with pytest.raises(ContractError, match="which does not say what it reads and writes"):
            discrete_actor().replaced(0, nn.Linear(4, 2))
        with pytest.raises(LookupError, match=r"has no step 'head'; its steps are \['0', '1'\]"):
            discrete_actor().replaced("head", net())

    def test_selected_outputs_stay_selected_or_are_missed(self):
        chain = TensorDictSequential(net(4, 8, writes="h"), net(8, 2, "h"), selected_out_keys=["logits"])
        assert chain.replaced(1, net(8, 3, "h")).out_keys == ["logits"]
        with pytest.raises(MissingKeyError, match="'logits' cannot be kept, as it is not written"):
            chain.replaced(1, net(8, 3, "h", "scores"))
