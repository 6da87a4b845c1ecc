import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, SpecError, UsageError
from keywork.collectors import Collector
from keywork.distributions import IndependentNormal, TanhNormal
from keywork.envs import GymEnv
from keywork.modules import SDEConfig, ValueOperator, gSDEModule
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, set_exploration_type
from keywork.objectives import ClipPPOLoss
from keywork.specs import Composite, Unbounded

OFF = ["deterministic", "mode", "mean"]
N = 20_000


def fixed(sigma: float = 0.5, **options) -> gSDEModule:
    return gSDEModule(2, 3, sigma_init=sigma, **options)


def flags(*values: bool) -> torch.Tensor:
    return torch.tensor(values).unsqueeze(-1)


class TestTheNoise:
    def test_is_the_matrix_times_the_state(self):
        loc, state = torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, 2.0, 3.0]])
        noise = torch.tensor([[[1.0, 0.0, -1.0], [0.0, 2.0, 1.0]]])
        scale, action, held = fixed().compute(loc, state, noise, flags(False))
        # 0.5 (1 − 3) = −1 and 0.5 (4 + 3) = 3.5, on top of loc; the scale is 0.5 √(1 + 4 + 9).
        torch.testing.assert_close(action, torch.tensor([[0.0, 2.5]]))
        torch.testing.assert_close(scale, torch.full((1, 2), 0.5 * math.sqrt(14.0)))
        assert torch.equal(held, noise)

    def test_a_state_gets_the_same_noise_throughout_an_episode(self):
        module, loc, state = fixed(), torch.zeros(4, 2), torch.randn(4, 3)
        _, first, noise = module.compute(loc, state, torch.zeros(4, 2, 3), flags(*[True] * 4))
        _, other, _ = module.compute(loc, torch.randn(4, 3), noise, flags(*[False] * 4))
        _, again, _ = module.compute(loc, state, noise, flags(*[False] * 4))
        assert torch.equal(first, again)
        assert not torch.isclose(first, other).any()

    def test_is_drawn_anew_where_an_episode_begins_and_nowhere_else(self):
        before = torch.randn(3, 2, 3)
        *_, after = fixed().compute(torch.zeros(3, 2), torch.randn(3, 3), before, flags(False, True, False))
        assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, False, True]

    def test_every_environment_has_a_matrix_of_its_own(self):
        *_, noise = fixed().compute(torch.zeros(5, 2), torch.randn(5, 3), torch.zeros(5, 2, 3), flags(*[True] * 5))
        assert len(noise.flatten().unique()) == 30

    def test_over_all_matrices_the_action_has_the_distribution_that_a_loss_is_given(self):
        module, state, loc = (
            fixed(),
            torch.tensor([1.0, -2.0, 0.5]).expand(N, 3),
            torch.tensor([0.3, -0.3]).expand(N, 2),
        )
        _, action, _ = module.compute(loc, state, torch.zeros(N, 2, 3), torch.ones(N, 1, dtype=torch.bool))
        dist = module.dist_of(loc, state)
        z = ((action - dist.mean) / dist.variance.sqrt()).double()
        for column in z.T:  # Kolmogorov and Smirnov's distance; 1.95 / √N is its 99.9th percentile
            steps = torch.arange(1, N + 1, dtype=torch.float64) / N
            assert (torch.special.ndtr(column.sort().values) - steps).abs().max().item() < 1.95 / math.sqrt(N)
        assert abs(torch.corrcoef(z.T)[0, 1].item()) < 0.03

    def test_a_state_of_zeros_has_a_finite_score_and_gradient(self):
        module, state = fixed(return_log_prob=True), torch.zeros(1, 3, requires_grad=True)
        *_, log_prob = module.compute(torch.zeros(1, 2), state, torch.zeros(1, 2, 3), flags(True))
        log_prob.sum().backward()
        assert log_prob.isfinite().all()
        assert state.grad.isfinite().all()


class TestTheDistribution:
    def test_the_written_log_prob_is_that_of_the_action(self):
        module, loc, state = fixed(return_log_prob=True), torch.randn(6, 2), torch.randn(6, 3)
        scale, action, _, log_prob = module.compute(loc, state, torch.randn(6, 2, 3), flags(*[False] * 6))
        z = (action - loc) / scale
        expected = -0.5 * z.square().sum(-1) - scale.log().sum(-1) - math.log(2 * math.pi)
        torch.testing.assert_close(log_prob, expected)

    def test_a_squashing_distribution_squashes_the_sum(self):
        config = SDEConfig(distribution_class=TanhNormal, distribution_kwargs={"low": -2.0, "high": 2.0})
        loc, state, noise = torch.randn(6, 2), torch.randn(6, 3), torch.randn(6, 2, 3)
        squashed = fixed(config=config).compute(loc, state, noise, flags(*[False] * 6))[1]
        plain = fixed().compute(loc, state, noise, flags(*[False] * 6))[1]
        torch.testing.assert_close(squashed, 2.0 * plain.tanh())

    @pytest.mark.parametrize("kind", OFF)
    def test_off_the_action_is_loc_and_nothing_is_drawn(self, kind):
        module, loc, noise = fixed(), torch.randn(3, 2), torch.randn(3, 2, 3)
        before = torch.get_rng_state()
        with set_exploration_type(kind):
            _, action, held = module.compute(
                loc, torch.randn(3, 3, generator=torch.Generator()), noise, flags(*[True] * 3)
            )
        assert torch.equal(action, loc)
        assert held is noise
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_policy_of_it_trains_in_ppo(self):
        net = TensorDictModule(nn.Linear(3, 2), ["observation"], ["loc"])
        actor = ProbabilisticTensorDictSequential(net, gSDEModule(2, 3, return_log_prob=True))
        loss = ClipPPOLoss(actor, ValueOperator(nn.Linear(3, 1)))
        td = TensorDict(observation=torch.randn(8, 3), is_init=torch.ones(8, 1).bool(), batch_size=[8])
        td["_gsde_action_noise"] = torch.zeros(8, 2, 3)
        with torch.no_grad():
            actor(td)
        td.update({"advantage": torch.randn(8, 1), "value_target": torch.randn(8, 1)})
        loss(td)["loss_objective"].backward()
        assert actor[-1].log_sigma.grad.any()
        assert isinstance(actor.get_dist(td), IndependentNormal)
        torch.testing.assert_close(actor.log_prob(td), td["sample_log_prob"])


class TestInACollector:
    def test_one_matrix_lasts_an_episode(self):
        with GymEnv("Pendulum-v1", num_envs=2, seed=0) as env:
            net = TensorDictModule(nn.Linear(3, 1), ["observation"], ["loc"])
            config = SDEConfig(distribution_class=TanhNormal, distribution_kwargs={"low": -2.0, "high": 2.0})
            actor = ProbabilisticTensorDictSequential(net, gSDEModule(1, 3, config=config, return_log_prob=True))
            batch = Collector(env, actor, frames_per_batch=404).collect()
        noise = batch["next", "_gsde_action_noise"]
        assert torch.equal(noise[:, :200], noise[:, :1].expand(2, 200, 1, 3))
        assert not torch.isclose(noise[:, 199], noise[:, 200]).any()
        assert not torch.isclose(noise[0, 0], noise[1, 0]).any()
        # Scored again, an action at the edge of what its type can tell apart is worth what it was.
        torch.testing.assert_close(actor.log_prob(batch), batch["sample_log_prob"], rtol=1e-3, atol=1e-3)


class TestConstruction:
    def test_says_what_it_carries(self):
        module = fixed()
        assert module.contract.carries == ("_gsde_action_noise",)
        assert module.carried_specs == Composite({"_gsde_action_noise": Unbounded((2, 3))})

    def test_other_keys(self):
        config = SDEConfig(
            loc_key=("a", "loc"), state_key="h", is_init_key="first", scale_key=("a", "scale"), action_key=("a", "move")
        )
        module = fixed(config=config, return_log_prob=True)
        assert module.in_keys == [("a", "loc"), "h", ("a", "_gsde_move_noise"), "first"]
        assert module.out_keys == [
            *[("a", "scale"), ("a", "move"), ("next", "a", "_gsde_move_noise"), ("a", "sample_log_prob")]
        ]

    def test_sigma_starts_at_one_for_the_scale_of_a_state_of_unit_variance(self):
        module = gSDEModule(2, 64)
        torch.testing.assert_close(module.sigma, torch.full((2, 64), 0.125))
        torch.testing.assert_close(module.dist_of(torch.zeros(1, 2), torch.ones(1, 64)).scale, torch.ones(1, 2))

    def test_sigma_stays_between_its_bounds(self):
        module = gSDEModule(1, 2, scale_min=0.1, scale_max=2.0)
        with torch.no_grad():
            module.log_sigma.copy_(torch.tensor([[-50.0, 50.0]]))
        torch.testing.assert_close(module.sigma, torch.tensor([[0.1, 2.0]]))

    def test_sigma_is_a_buffer_where_it_is_not_learned(self):
        module = fixed(learn_sigma=False)
        assert not list(module.parameters())
        assert list(module.state_dict()) == ["log_sigma"]

    def test_a_distribution_without_loc_and_scale_is_refused(self):
        with pytest.raises(ContractError, match="'loc'"):
            fixed(config=SDEConfig(distribution_class=torch.distributions.Categorical))

    @pytest.mark.parametrize(
        ("arguments", "where"),
        [
            ({"action_dim": 0, "state_dim": 3}, "action_dim, state_dim"),
            ({"action_dim": 2, "state_dim": -1}, "action_dim, state_dim"),
            ({"action_dim": 2, "state_dim": 3, "sigma_init": 0.0}, "sigma_init"),
            ({"action_dim": 2, "state_dim": 3, "scale_min": 1.0, "scale_max": 0.5}, "scale_min, scale_max"),
        ],
    )
    def test_numbers_out_of_range_are_refused(self, arguments, where):
        with pytest.raises(UsageError, match=f"gSDEModule cannot be built: {where} out of range"):
            gSDEModule(**arguments)

    @pytest.mark.parametrize(("loc", "state"), [(1, 3), (2, 1), (2, 4)])
    def test_inputs_of_another_width_are_refused_and_not_broadcast(self, loc, state):
        inputs = torch.zeros(5, loc), torch.zeros(5, state), torch.zeros(5, 2, 3), torch.ones(5, 1).bool()
        for use in (fixed().compute, fixed().dist_of):
            with pytest.raises(SpecError, match="gSDEModule cannot act: what it reads has another shape") as error:
                use(*inputs)
            assert f"fix: build gSDEModule({loc}, {state})" in str(error.value)

    def test_flags_without_their_last_dimension_are_refused(self):
        with pytest.raises(SpecError, match="gSDEModule cannot tell where episodes begin: 'is_init' does not fit"):
            fixed().compute(torch.zeros(2, 2), torch.zeros(2, 3), torch.zeros(2, 2, 3), torch.ones(2).bool())
