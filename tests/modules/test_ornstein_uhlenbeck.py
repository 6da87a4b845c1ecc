import copy
import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, SpecError
from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.modules import Actor, OrnsteinUhlenbeckProcessModule, OUParameters, TanhModule
from keywork.nn import TensorDictModule, TensorDictSequential, set_exploration_type
from keywork.specs import Bounded, Categorical, Composite, Unbounded

N = 20_000
OFF = ["deterministic", "mode", "mean"]
SPEC = Bounded(-1.0, 1.0, (2,))
FREE = Unbounded(2)


def constant(spec=FREE, **options):
    return OrnsteinUhlenbeckProcessModule(spec, eps_init=1.0, eps_end=1.0, **options)


def flags(*values: bool) -> torch.Tensor:
    return torch.tensor(values).unsqueeze(-1)


def run(explore, steps: int, batch: int, inits=lambda t: t == 0) -> torch.Tensor:
    """The noise of an action of zeros, step by step, fed as a collector feeds it: [steps, batch, 2]."""
    td = TensorDict(action=torch.zeros(batch, 2), batch_size=[batch])
    td.update(explore.carried_specs.zero((batch,)))
    rows = []
    for t in range(steps):
        td["action"], td["is_init"] = torch.zeros(batch, 2), torch.full((batch, 1), bool(inits(t)))
        rows.append(explore(td)["action"])
        td.update(td.pop("next"))
    return torch.stack(rows)


class TestTheProcess:
    def test_without_disturbance_it_returns_to_the_mean(self):
        explore = OrnsteinUhlenbeckProcessModule(FREE, 0.5, 0.5, theta=0.5, dt=0.1, mu=1.0, sigma=0.0)
        action, noise = explore(torch.full((1, 2), 3.0), torch.tensor([[0.2, -1.0]]), flags(False))
        # 0.2 + 0.5 (1 − 0.2) 0.1 = 0.24 and −1 + 0.5 (1 + 1) 0.1 = −0.9; half of it is added.
        torch.testing.assert_close(noise, torch.tensor([[0.24, -0.9]]))
        torch.testing.assert_close(action, torch.tensor([[3.12, 2.55]]))

    def test_is_the_recursion_step_by_step(self):
        explore = constant(theta=0.7, dt=0.2, mu=0.3, sigma=0.5)
        torch.manual_seed(3)
        seen = run(explore, 20, 4)
        torch.manual_seed(3)
        x, expected = torch.zeros(4, 2), []
        for _ in range(20):
            x = x + 0.7 * (0.3 - x) * 0.2 + 0.5 * math.sqrt(0.2) * torch.randn(4, 2)
            expected.append(x)
        torch.testing.assert_close(seen, torch.stack(expected))

    def test_begins_in_the_stationary_distribution_and_stays_there(self):
        process = OUParameters.of_stationary(0.5, correlation_steps=4.0, mu=0.2)
        noise = run(constant(process=process), 9, N)
        for row in noise:  # five standard errors of mean and variance
            assert abs(row.mean().item() - 0.2) < 5 * 0.5 / math.sqrt(2 * N)
            assert abs(row.var().item() - 0.25) < 5 * 0.25 * math.sqrt(2 / (2 * N))
        correlation = torch.corrcoef(torch.stack([noise[0].flatten(), noise[4].flatten()]))[0, 1].item()
        assert abs(correlation - 1.0 / math.e) < 0.02  # four steps on

    def test_from_zero_it_grows_into_the_stationary_distribution(self):
        noise = run(constant(theta=5.0, dt=0.1, sigma=0.3), 30, N // 4)
        # After t steps Var x = σ² dt (1 − a²ᵗ) / (1 − a²), a = 1 − θ dt = 0.5; first 0.09 · 0.1, in the end 0.012.
        assert noise[0].var().item() == pytest.approx(0.009, rel=0.1)
        assert noise[-1].var().item() == pytest.approx(
            OUParameters(theta=5.0, dt=0.1, sigma=0.3).stationary_std ** 2, rel=0.1
        )

    def test_every_environment_has_a_process_of_its_own(self):
        assert len(run(constant(), 1, 6).flatten().unique()) == 12

    def test_sigma_goes_down_with_the_age_of_the_episode(self):
        explore = constant(sigma=1.0, sigma_min=0.2, n_steps_annealing=4, theta=0.0, dt=1.0)
        steps = torch.tensor([[0], [1], [2], [4], [9]])
        before = torch.zeros(N, 5, 2)
        _, noise, after = explore(before, before, steps.expand(N, 5, 1), torch.zeros(N, 5, 1, dtype=torch.bool))
        # σ(t) = 0.2 + 0.8 (1 − t / 4), from 0.2 on where that is less.
        assert noise.std((0, 2)).tolist() == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2], rel=0.03)
        assert torch.equal(after, (steps + 1).expand(N, 5, 1))


class TestEpisodes:
    def test_starts_over_where_an_episode_begins(self):
        explore = constant(theta=0.5, dt=0.1, sigma=0.0, x0=2.0)
        _, noise = explore(torch.zeros(2, 2), torch.full((2, 2), 100.0), flags(True, False))
        # From 2: 2 − 0.5 · 2 · 0.1 = 1.9; from 100: 95.
        torch.testing.assert_close(noise, torch.tensor([[1.9, 1.9], [95.0, 95.0]]))

    def test_what_is_stored_at_the_beginning_of_an_episode_does_not_matter(self):
        explore = constant()
        torch.manual_seed(1)
        clean = explore(torch.zeros(3, 2), torch.zeros(3, 2), flags(True, True, True))
        torch.manual_seed(1)
        dirty = explore(torch.zeros(3, 2), torch.full((3, 2), math.nan), flags(True, True, True))
        assert torch.equal(clean[0], dirty[0])

    def test_begins_at_a_point_of_each_dimension(self):
        explore = constant(theta=0.0, sigma=0.0, x0=torch.tensor([1.0, -2.0]))
        assert explore(torch.zeros(3, 2), torch.zeros(3, 2), flags(True, True, True))[1].tolist() == [[1.0, -2.0]] * 3

    def test_the_age_starts_over_too(self):
        explore = constant(sigma_min=0.1)
        *_, age = explore(torch.zeros(2, 2), torch.zeros(2, 2), torch.tensor([[7], [7]]), flags(True, False))
        assert age.tolist() == [[1], [8]]

    def test_actions_without_dimensions_have_episodes_too(self):
        explore = constant(Unbounded(), theta=0.5, dt=0.1, sigma=0.0, x0=2.0)
        _, noise = explore(torch.zeros(2), torch.full((2,), 100.0), flags(True, False))
        torch.testing.assert_close(noise, torch.tensor([1.9, 95.0]))

    def test_flags_without_their_last_dimension_are_refused(self):
        with pytest.raises(SpecError) as error:
            constant()(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4, dtype=torch.bool))
        assert str(error.value) == (
            "OrnsteinUhlenbeckProcessModule cannot tell where episodes begin: "
            "'is_init' does not fit the other entries.\n"
            "  where: 'is_init'\n"
            "  expected: (*B, 1), for entries (*B, ...) such as one of float32[4, 2]\n"
            "  got: bool[4]\n"
            "  fix: flag.unsqueeze(-1) adds the last dimension"
        )


class TestExplorationTypes:
    @pytest.mark.parametrize("kind", OFF)
    @pytest.mark.parametrize("x0", [None, "stationary"])
    def test_off_the_action_passes_through_and_the_process_stands_still(self, kind, x0):
        explore, action, noise = constant(SPEC, x0=x0, mu=0.25), torch.full((2, 2), 7.0), torch.full((2, 2), 0.5)
        before = torch.get_rng_state()
        with set_exploration_type(kind):
            same, held = explore.compute(action, noise, flags(True, False))
        assert same is action
        start = 0.0 if x0 is None else 0.25
        assert held.tolist() == [[start] * 2, [0.5] * 2]
        assert torch.equal(torch.get_rng_state(), before)

    def test_on_the_action_stays_in_its_spec(self):
        explored, _ = constant(SPEC, sigma=50.0)(torch.zeros(100, 2), torch.zeros(100, 2), torch.ones(100, 1).bool())
        assert SPEC.is_in(explored)
        assert explored.abs().max() == 1.0

    def test_unsafe_it_may_leave_it(self):
        explored, _ = constant(safe=False, spec=None, sigma=50.0)(
            torch.zeros(100, 2), torch.zeros(100, 2), torch.ones(100, 1).bool()
        )
        assert explored.abs().max() > 1.0

    def test_the_action_keeps_its_type(self):
        explored, noise = constant()(torch.zeros(2, 2, dtype=torch.bfloat16), torch.zeros(2, 2), flags(True, True))
        assert (explored.dtype, noise.dtype) == (torch.bfloat16, torch.float32)


class TestKeys:
    def test_says_what_it_carries(self):
        explore = constant(sigma_min=0.1)
        assert explore.contract.carries == ("_ou_action_noise", "_ou_action_steps")
        assert explore.in_keys == ["action", "_ou_action_noise", "_ou_action_steps", "is_init"]
        assert explore.out_keys == ["action", ("next", "_ou_action_noise"), ("next", "_ou_action_steps")]
        assert explore.carried_specs == Composite(
            {"_ou_action_noise": Unbounded(2), "_ou_action_steps": Unbounded(1, torch.int64)}
        )

    def test_two_processes_of_two_actions_do_not_collide(self):
        left, right = constant(action_key=("left", "action")), constant(action_key="steer")
        assert TensorDictSequential(left, right).contract.carries == (("left", "_ou_action_noise"), "_ou_steer_noise")

    def test_two_processes_of_one_action_are_refused_unless_they_have_keys_of_their_own(self):
        with pytest.raises(ContractError, match=r"both write .*'_ou_action_noise'"):
            TensorDictSequential(constant(), constant())
        both = TensorDictSequential(constant(sigma=0.0, x0=1.0), constant(sigma=0.0, x0=5.0, noise_key="slow"))
        td = TensorDict(action=torch.zeros(1, 2), is_init=flags(True), batch_size=[1])
        td.update({"_ou_action_noise": torch.zeros(1, 2), "slow": torch.zeros(1, 2)})
        both(td)
        # 1 and 5, each brought back by 0.15 · 0.01 of it.
        torch.testing.assert_close(td["next", "_ou_action_noise"], torch.full((1, 2), 0.9985))
        torch.testing.assert_close(td["next", "slow"], torch.full((1, 2), 4.9925))

    def test_other_keys(self):
        explore = constant(sigma_min=0.1, noise_key="x", steps_key=("a", "t"), is_init_key=("a", "first"))
        assert explore.in_keys == ["action", "x", ("a", "t"), ("a", "first")]

    def test_the_users_spec_stays_as_it_was(self):
        given = Composite({"action": SPEC})
        constant(given)
        assert given == Composite({"action": SPEC})

    def test_what_is_carried_is_not_known_without_the_spec(self):
        with pytest.raises(SpecError, match="nobody has said what an action is"):
            OrnsteinUhlenbeckProcessModule().carried_specs  # noqa: B018


class TestArguments:
    def test_a_process_and_single_numbers_go_together(self):
        explore = constant(process=OUParameters(theta=0.5, sigma=0.4), sigma=0.1)
        assert (explore.process.theta, explore.process.sigma) == (0.5, 0.1)

    def test_the_fields_names_are_known(self):
        explore = OrnsteinUhlenbeckProcessModule(
            action_spec=SPEC, eps_init=0.9, eps_end=0.2, annealing_num_steps=70, theta=0.1, mu=0.1, sigma=0.3, dt=0.1,
            x0=0.0, sigma_min=0.1, n_steps_annealing=50, action_key="a", is_init_key="i", safe=False, device="cpu",
        )  # fmt: skip
        explore.step(35)
        assert explore.eps.item() == pytest.approx(0.55)
        assert explore.process == OUParameters(
            theta=0.1, mu=0.1, sigma=0.3, dt=0.1, x0=0.0, sigma_min=0.1, n_steps_annealing=50
        )

    def test_a_misspelt_name_is_refused(self):
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'tetha'; did you mean 'theta'\?"):
            constant(tetha=0.1)

    def test_discrete_actions_are_refused(self):
        with pytest.raises(SpecError, match="OrnsteinUhlenbeckProcessModule cannot add noise to these actions"):
            constant(Categorical(3))

    def test_eps_is_saved_and_resumed(self):
        explore = OrnsteinUhlenbeckProcessModule(SPEC)
        resumed = copy.deepcopy(explore)
        explore.step(500)
        assert resumed.eps == 1.0
        resumed.load_state_dict(explore.state_dict())
        assert resumed.eps.item() == pytest.approx(0.55)  # 1 − 500 · 0.0009


class TestInACollector:
    def test_noise_goes_on_from_step_to_step_and_starts_over_with_the_episode(self):
        with GymEnv("Pendulum-v1", num_envs=2, seed=0) as env:
            explore = constant(env.action_spec, sigma=0.0, x0=1.0, theta=0.1, dt=1.0)
            silent = TensorDictModule(torch.zeros_like, ["observation"], ["zeros"])
            start = TensorDictModule(lambda zeros: zeros[..., :1], ["zeros"], ["action"])
            batch = Collector(env, TensorDictSequential(silent, start, explore), frames_per_batch=404).collect()
        # An episode of Pendulum has 200 steps; step t of it gets 0.9ᵗ⁺¹.
        age = torch.arange(202) % 200 + 1.0
        torch.testing.assert_close(batch["action"], (0.9**age).expand(2, 202).unsqueeze(-1))
        torch.testing.assert_close(batch["next", "_ou_action_noise"], batch["action"])

    def test_the_deterministic_policy_is_the_one_without_it(self):
        with GymEnv("Pendulum-v1", num_envs=2, seed=0) as env:
            actor = TensorDictSequential(Actor(nn.Linear(3, 1)), TanhModule("action", spec=env.action_spec))
            policy = TensorDictSequential(actor, constant(env.action_spec))
            batch = Collector(env, policy, frames_per_batch=40, exploration_type="mode").collect()
        torch.testing.assert_close(batch["action"], actor(batch.copy())["action"])
