import copy

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError
from keywork.distributions import Categorical, IndependentNormal, NormalParamExtractor
from keywork.modules import EnsembleModule, GRUModule, LSTMModule, ProbabilisticActor, RandomPolicy, ValueOperator
from keywork.nets import MLP
from keywork.nn import TensorDictModule, TensorDictSequential, set_exploration_type
from keywork.specs import Composite, Unbounded

BOTH = pytest.mark.parametrize("vectorize", [True, False])


def critic() -> ValueOperator:
    return ValueOperator(MLP(3 + 2, 1, num_cells=[8]), ["observation", "action"])


def actor() -> ProbabilisticActor:
    net = TensorDictModule(nn.Sequential(nn.Linear(3, 4), NormalParamExtractor()), ["observation"], ["loc", "scale"])
    return ProbabilisticActor(net, ["loc", "scale"], distribution_class=IndependentNormal, return_log_prob=True)


def entries(batch: int = 6) -> TensorDict:
    return TensorDict(observation=torch.randn(batch, 3), action=torch.randn(batch, 2), batch_size=[batch])


class TestCritics:
    @BOTH
    def test_each_copy_is_a_module_of_its_own(self, vectorize):
        members, td = [critic() for _ in range(3)], entries()
        ensemble = EnsembleModule(members, vectorize=vectorize)
        assert (ensemble.in_keys, ensemble.out_keys) == (["observation", "action"], ["state_action_value"])
        values = ensemble(td)["state_action_value"]
        assert values.shape == (6, 3, 1)
        for number, member in enumerate(members):
            torch.testing.assert_close(values[:, number], member(td["observation"], td["action"]))

    @BOTH
    def test_any_batch_will_do(self, vectorize):
        ensemble = EnsembleModule(critic(), 3, vectorize=vectorize)
        for batch in ((), (6,), (6, 5)):
            td = TensorDict(observation=torch.randn(*batch, 3), action=torch.randn(*batch, 2), batch_size=batch)
            assert ensemble(td)["state_action_value"].shape == (*batch, 3, 1)

    def test_the_first_copy_is_the_module_and_the_others_start_elsewhere(self):
        module = critic()
        ensemble, td = EnsembleModule(module, 4), entries()
        values = ensemble(td["observation"], td["action"])
        torch.testing.assert_close(values[:, 0], module(td["observation"], td["action"]))
        assert len(values[0].unique()) == 4

    def test_copies_of_an_orthogonal_network_are_orthogonal_and_independent(self):
        net = MLP(8, 2, num_cells=[8], init="orthogonal", last_gain=0.1)
        hidden, _, last, _ = EnsembleModule(ValueOperator(net), 3).parameters()
        torch.testing.assert_close(hidden @ hidden.mT, 2.0 * torch.eye(8).expand(3, 8, 8), atol=1e-5, rtol=0)
        torch.testing.assert_close(last @ last.mT, 0.01 * torch.eye(2).expand(3, 2, 2), atol=1e-6, rtol=0)
        assert all(not torch.isclose(w[a], w[b]).any() for w in (hidden, last) for a, b in ((0, 1), (0, 2), (1, 2)))

    def test_copies_of_a_critic_from_specs_are_too(self):
        specs = Composite({"x": Unbounded((8,)), "y": Unbounded((2, 2))})
        weights = [p for p in EnsembleModule(ValueOperator.from_spec(specs), 2).parameters() if p.ndim == 3]
        torch.testing.assert_close(weights[1][1] @ weights[1][1].T, 2.0 * torch.eye(64), atol=1e-5, rtol=0)
        assert all(not torch.isclose(w[0], w[1]).all() for w in weights)

    @pytest.mark.parametrize("kind", [GRUModule, LSTMModule])
    def test_copies_of_a_recurrent_module_begin_as_torch_draws_them(self, kind):
        ensemble = EnsembleModule(kind(4, 25, 2, in_key="observation", out_key="features"), 3)
        for parameter in ensemble.parameters():
            # Uniform between ±1/√25, of which the standard deviation is 0.2 / √3.
            assert parameter.abs().max() <= 0.2
            assert all(abs(one.std().item() - 0.1155) < 0.02 for one in parameter)
            assert all(not torch.isclose(parameter[a], parameter[b]).all() for a, b in ((0, 1), (0, 2), (1, 2)))

    def test_the_module_itself_is_left_alone(self):
        module = critic()
        before = copy.deepcopy(module.state_dict())
        ensemble = EnsembleModule(module, 2)
        torch.optim.SGD(ensemble.parameters(), lr=1.0).zero_grad()
        ensemble(entries())["state_action_value"].sum().backward()
        assert all(parameter.grad is None for parameter in module.parameters())
        assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())

    @BOTH
    def test_parameters_are_ordinary_ones(self, vectorize):
        ensemble, td = EnsembleModule(critic(), 3, vectorize=vectorize), entries()
        assert {name: p.shape for name, p in ensemble.named_parameters()} == {
            "module.module.0.weight": (3, 8, 5),
            "module.module.0.bias": (3, 8),
            "module.module.2.weight": (3, 1, 8),
            "module.module.2.bias": (3, 1),
        }
        optimiser = torch.optim.SGD(ensemble.parameters(), lr=0.1)
        before = [p.clone() for p in ensemble.parameters()]
        ensemble(td)["state_action_value"][:, 1].sum().backward()
        optimiser.step()
        for old, new in zip(before, ensemble.parameters(), strict=True):
            changed = [not torch.equal(a, b) for a, b in zip(old, new, strict=True)]
            assert changed == [False, True, False]  # the copy whose value it was, and no other

    def test_state_is_saved_loaded_and_copied(self):
        ensemble, other, td = EnsembleModule(critic(), 3), EnsembleModule(critic(), 3), entries()
        expected = ensemble(td.copy())["state_action_value"]
        assert not torch.equal(other(td.copy())["state_action_value"], expected)
        other.load_state_dict(ensemble.state_dict())
        assert torch.equal(other(td.copy())["state_action_value"], expected)
        twin = copy.deepcopy(ensemble)
        with torch.no_grad():
            next(ensemble.parameters()).zero_()
        assert torch.equal(twin(td.copy())["state_action_value"], expected)

    def test_is_a_step_of_a_sequential(self):
        least = TensorDictModule(lambda q: q.amin(-2), ["state_action_value"], ["least"])
        td = TensorDictSequential(EnsembleModule(critic(), 2), least)(entries())
        assert torch.equal(td["least"], td["state_action_value"].amin(-2))

    def test_few_copies_run_one_after_the_other_and_many_at_once(self):
        assert not EnsembleModule(critic(), 2).vectorize
        assert EnsembleModule(critic(), 10).vectorize

    @BOTH
    def test_moves_and_casts_as_a_module(self, vectorize):
        ensemble = EnsembleModule(critic(), 2, vectorize=vectorize).double()
        assert ensemble(torch.zeros(4, 3).double(), torch.zeros(4, 2).double()).dtype is torch.float64


class TestDimensions:
    def test_the_copies_stand_where_they_are_told_to(self):
        inputs = (torch.randn(6, 3), torch.randn(6, 2))
        module = critic()
        for vectorize in (True, False):
            first = EnsembleModule([module, critic()], dim=0, vectorize=vectorize)
            assert first(*inputs).shape == (2, 6, 1)
            last = EnsembleModule([module, critic()], dim={"state_action_value": -1}, vectorize=vectorize)
            assert last(*inputs).shape == (6, 1, 2)
            torch.testing.assert_close(last(*inputs)[..., 0], module(*inputs))

    @BOTH
    def test_one_ensemble_feeds_another(self, vectorize):
        trunks = [TensorDictModule(nn.Linear(3, 4), ["observation"], ["hidden"]) for _ in range(3)]
        heads = [TensorDictModule(nn.Linear(4, 1), ["hidden"], ["value"]) for _ in range(3)]
        chain = TensorDictSequential(
            EnsembleModule(trunks, vectorize=vectorize), EnsembleModule(heads, expand_input=False, vectorize=vectorize)
        )
        td = chain(entries())
        assert td["value"].shape == (6, 3, 1)
        for number in range(3):
            expected = heads[number](trunks[number](td["observation"]))
            torch.testing.assert_close(td["value"][:, number], expected)


class TestStochastic:
    @BOTH
    def test_copies_draw_independently_and_score_what_they_drew(self, vectorize):
        ensemble = EnsembleModule(actor(), 3, vectorize=vectorize)
        with torch.no_grad():
            for parameter in ensemble.parameters():
                parameter.copy_(parameter[:1].expand_as(parameter))
        td = ensemble(entries().exclude("action"))
        assert td["action"].shape == (6, 3, 2)
        assert td["sample_log_prob"].shape == (6, 3)
        assert len(td["action"].flatten().unique()) == 36
        dist = IndependentNormal(td["loc"], td["scale"])
        torch.testing.assert_close(td["sample_log_prob"], dist.log_prob(td["action"]))

    @BOTH
    def test_the_exploration_type_reaches_them(self, vectorize):
        ensemble = EnsembleModule(actor(), 3, vectorize=vectorize)
        with set_exploration_type("mode"):
            td = ensemble(entries())
        assert torch.equal(td["action"], td["loc"])

    def test_an_index_stands_last(self):
        net = TensorDictModule(nn.Linear(3, 4), ["observation"], ["logits"])
        policy = ProbabilisticActor(net, ["logits"], distribution_class=Categorical, return_log_prob=True)
        td = EnsembleModule(policy, 5, dim={"action": -1})(entries())
        assert td["logits"].shape == (6, 5, 4)
        assert td["action"].shape == td["sample_log_prob"].shape == (6, 5)

    @BOTH
    def test_dropout_has_no_parameters_and_will_do(self, vectorize):
        ensemble = EnsembleModule(TensorDictModule(nn.Dropout(), ["x"], ["y"]), 3, vectorize=vectorize)
        y = ensemble(torch.ones(1, 200))
        assert y.shape == (1, 3, 200)
        assert not torch.equal(y[0, 0], y[0, 1])


class TestRecurrent:
    @BOTH
    def test_every_copy_carries_its_own_state(self, vectorize):
        members = [GRUModule(input_size=3, hidden_size=4, in_key="observation", out_key="h") for _ in range(3)]
        ensemble = EnsembleModule(members, vectorize=vectorize)
        assert ensemble.contract.carries == ("recurrent_state",)
        assert ensemble.carried_specs == Composite({"recurrent_state": Unbounded((3, 1, 4))})
        td = TensorDict(observation=torch.randn(6, 3), is_init=torch.zeros(6, 1).bool(), batch_size=[6])
        td["recurrent_state"] = torch.randn(6, 3, 1, 4)
        ensemble(td)
        assert td["h"].shape == (6, 3, 4)
        assert td["next", "recurrent_state"].shape == (6, 3, 1, 4)
        for number, member in enumerate(members):
            h, state = member(td["observation"], td["recurrent_state"][:, number], td["is_init"])
            torch.testing.assert_close(td["h"][:, number], h)
            torch.testing.assert_close(td["next", "recurrent_state"][:, number], state)

    @pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
    def test_torchs_own_run_one_after_the_other(self, kind):
        class Last(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = kind(3, 4, batch_first=True)

            def forward(self, x):
                return self.network(x)[0][..., -1, :]

        member = TensorDictModule(Last(), ["x"], ["y"])
        ensemble = EnsembleModule(member, 6)
        assert not ensemble.vectorize
        x = torch.randn(2, 5, 3)
        y = ensemble(x)
        assert y.shape == (2, 6, 4)
        torch.testing.assert_close(y[:, 0], member(x))


class TestBuffers:
    @BOTH
    def test_each_copy_has_statistics_of_its_own(self, vectorize):
        def member() -> TensorDictModule:
            return TensorDictModule(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), ["x"], ["y"])

        members, x = [member(), member()], torch.randn(50, 3)
        ensemble = EnsembleModule(members, vectorize=vectorize)
        ensemble(x)
        for number, one in enumerate(members):
            one(x)
            torch.testing.assert_close(ensemble.module.module[1].running_mean[number], one.module[1].running_mean)


class TestConstruction:
    def test_a_function_may_initialise_the_copies(self):
        ensemble = EnsembleModule(
            critic(), 3, parameter_init_function=lambda one: [nn.init.zeros_(p) for p in one.parameters()]
        )
        values = ensemble(torch.ones(1, 3), torch.ones(1, 2))
        assert values[0, 1:].tolist() == [[0.0], [0.0]]
        assert values[0, 0] != 0.0

    @pytest.mark.parametrize(
        ("arguments", "problem", "fix"),
        [
            (
                (nn.Linear(3, 1), 2),
                "member 0 is Linear 3 -> 1, which is no key module of this package.",
                "wrap it: TensorDictModule(module, in_keys=[...], out_keys=[...]).",
            ),
            (
                (RandomPolicy(), 2),
                "member 0 (RandomPolicy) runs on TensorDicts only, of which copies cannot be stacked.",
                "write compute(self, *inputs) in place of forward(self, td).",
            ),
            ((critic(),), "num_copies is None.", "say how many: num_copies=2."),
            ((critic(), 0), "num_copies is 0, of 1 modules.", "num_copies=2, or a list of modules and no number."),
            (([critic()], 2), "num_copies is 2, of 1 modules.", "num_copies=2, or a list of modules and no number."),
        ],
    )
    def test_what_cannot_be_copied_is_refused(self, arguments, problem, fix):
        with pytest.raises(ContractError) as error:
            EnsembleModule(*arguments)
        assert str(error.value) == f"EnsembleModule cannot be built: 1 finding.\n1. {problem}\n   {fix}"

    def test_members_of_different_keys_are_refused(self):
        with pytest.raises(ContractError, match="member 1 reads and writes other keys than member 0"):
            EnsembleModule([critic(), ValueOperator(nn.Linear(3, 1))])

    def test_a_lazy_module_is_refused(self):
        with pytest.raises(ContractError, match="has no size yet"):
            EnsembleModule(TensorDictModule(nn.LazyLinear(1), ["x"], ["y"]), 2)
