from __future__ import annotations

import copy

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers import NormalizeObservation
from safetensors.torch import load_model, save_model
from tensordict import TensorDict
from torch import nn

from keywork._errors import ContractError, MissingKeyError, NonFiniteError, SpecError, UsageError
from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.modules import IndependentNormal, NetworkConfig, ProbabilisticActor, RunningNorm, ValueOperator
from keywork.modules import update_statistics as update
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictModule, TensorDictSequential
from keywork.objectives import GAE, ClipPPOLoss
from keywork.specs import Bounded, Categorical, Composite, Unbounded

ROWS = torch.tensor([[0.0, 10.0], [2.0, 30.0]])  # means 1 and 20, deviations 1 and 10


def seen():
    norm = RunningNorm(Unbounded((2,)))
    norm.update(ROWS)
    return norm


class TestWhatItComputes:
    def test_standard_numbers(self):
        # (2 - 1) / 1 and (20 - 20) / 10; (-1 - 1) / 1 and (35 - 20) / 10
        torch.testing.assert_close(
            seen()(torch.tensor([[2.0, 20.0], [-1.0, 35.0]])), torch.tensor([[1.0, 0.0], [-2.0, 1.5]])
        )

    def test_at_most_ten_or_what_is_asked(self):
        far = torch.tensor([[100.0, -1e6]])
        assert seen()(far).tolist() == [[10.0, -10.0]]
        norm = RunningNorm(Unbounded((2,)), clip=2.5)
        norm.update(ROWS)
        assert norm(far).tolist() == [[2.5, -2.5]]

    def test_what_never_changes_is_zero(self):
        norm = RunningNorm(Unbounded(()))
        norm.update(torch.full((7,), 5.0))
        assert norm(torch.tensor([5.0, 6.0])).tolist() == [0.0, 10.0]

    def test_before_any_update_only_what_is_far_out_changes(self):
        norm = RunningNorm(Unbounded((2,)))
        assert norm(torch.tensor([[0.5, -11.0]])).tolist() == [[0.5, -10.0]]

    @pytest.mark.parametrize("shape", [(1,), ()])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_nothing_is_lost_on_a_large_mean(self, shape, dtype):
        # 2²⁴ - 1 and 2²⁴ - 2 are float32, and their mean is not.
        rows = torch.tensor([2.0**24 - 1, 2.0**24 - 2], dtype=dtype).view(2, *shape)
        norm = RunningNorm(Unbounded(shape, dtype))
        norm.update(rows)
        assert norm(rows).flatten().tolist() == pytest.approx([1.0, -1.0], abs=1e-6)

    def test_as_gymnasium_does(self):
        env = NormalizeObservation(gymnasium.make("Pendulum-v1"))
        env.obs_rms.count = 0.0  # as if nothing had been seen; by itself it begins with 1e-4 of an observation
        norm = RunningNorm(Unbounded((3,)), clip=1e9)
        bare = gymnasium.make("Pendulum-v1")
        theirs, ours = [env.reset(seed=3)[0]], [bare.reset(seed=3)[0]]
        for step in range(150):
            action = np.array([np.sin(step)], np.float32)
            theirs.append(env.step(action)[0])
            ours.append(bare.step(action)[0])
        result = []
        for observation in torch.from_numpy(np.stack(ours)):
            norm.update(observation)
            result.append(norm(observation))
        np.testing.assert_allclose(np.stack(result), np.stack(theirs), rtol=2e-4, atol=2e-5)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_an_observation_keeps_its_type_and_the_statistics_theirs(self, dtype):
        norm = seen().to(dtype)
        assert norm(ROWS.to(dtype)).dtype is dtype
        assert norm.moments[0].var.tolist() == [1.0, 100.0] and norm.moments[0].var.dtype is torch.float64


class TestUpdates:
    def test_a_call_changes_nothing(self):
        norm = seen()
        before = {name: value.clone() for name, value in norm.state_dict().items()}
        norm(torch.randn(5, 2))
        assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())

    def test_a_batch_of_any_size_counts_by_its_rows(self):
        norm = RunningNorm(Unbounded((2,)))
        norm.update(TensorDict(observation=ROWS.view(2, 1, 2), batch_size=[2, 1]))
        assert torch.equal(norm(ROWS), seen()(ROWS)) and norm.moments[0].count == 2

    def test_steps_that_are_not_valid_do_not_count(self):
        td = TensorDict(observation=torch.cat([ROWS, torch.full((1, 2), torch.nan)]), batch_size=[3])
        td["collector", "valid"] = torch.tensor([[True], [True], [False]])
        norm = RunningNorm(Unbounded((2,)))
        norm.update(td)
        assert torch.equal(norm(ROWS), seen()(ROWS))

    def test_frozen_it_stays_as_it_is(self):
        norm = seen().freeze()
        norm.update(ROWS * 5)
        assert norm.frozen and torch.equal(norm(ROWS), seen()(ROWS))
        norm.freeze(False).update(ROWS * 5)
        assert not norm.frozen and norm.moments[0].count == 4

    def test_what_is_wrong_is_refused(self):
        norm = seen()
        with pytest.raises(MissingKeyError, match="RunningNorm cannot run: it reads 'observation'"):
            norm.update(TensorDict(obs=ROWS, batch_size=[2]))
        with pytest.raises(NonFiniteError, match="the running mean and variance of 'observation' cannot be updated"):
            norm.update(ROWS / 0.0)
        for bad in (ROWS[:, :1], ROWS.long()):
            with pytest.raises(SpecError) as raised:
                norm.update(bad)
            assert str(raised.value).startswith("RunningNorm cannot run: 'observation' is not what it was built for.")
        with pytest.raises(SpecError) as raised:
            norm(ROWS[:, :1])  # which would be broadcast
        assert str(raised.value) == (
            "RunningNorm cannot run: 'observation' is not what it was built for.\n"
            "  where: 'observation'\n"
            "  expected: floating numbers of shape [*B, 2]\n"
            "  got: float32[2, 1]\n"
            "  fix: RunningNorm(env.observation_spec), of the environment that shows this"
        )
        assert torch.equal(norm(ROWS), seen()(ROWS))

    def test_each_norm_of_several_modules_once(self):
        norm = RunningNorm(Unbounded((2,)))
        other = norm.renamed({"observation_norm": "x"})
        critic = TensorDictSequential(norm, ValueOperator(nn.Linear(2, 1), ["observation_norm"]))
        update([critic, norm, TensorDictSequential(other)], TensorDict(observation=ROWS, batch_size=[2]))
        assert norm.moments[0].count == other.moments[0].count == 2
        update(critic, TensorDict(observation=ROWS, batch_size=[2]))
        assert norm.moments[0].count == 4

    def test_under_another_key_it_has_the_same_statistics(self):
        norm = RunningNorm({"a": Unbounded((2,)), "b": Categorical(2)})
        other = norm.renamed({"a": ("group", "a")})
        other.update(TensorDict(group=TensorDict(a=ROWS, batch_size=[2]), batch_size=[2]))
        assert torch.equal(norm(ROWS), seen()(ROWS))
        assert other.out_specs.keys() == ("a_norm", "b")


class TestWhatItIsBuiltFor:
    def test_floating_numbers_and_the_rest_is_left_alone(self):
        camera = Bounded(0, 255, (8, 8, 3), torch.uint8)
        specs = Composite(
            {"camera": camera, "a": {"pose": Unbounded((3,))}, "gear": Categorical(5), "t": Bounded(0, 1)}
        )
        norm = RunningNorm(specs, clip=5.0)
        assert norm.in_keys == [("a", "pose"), "t"] and norm.out_keys == [("a", "pose_norm"), "t_norm"]
        assert norm.out_specs == Composite(
            {
                "camera": camera,
                ("a", "pose_norm"): Bounded(-5.0, 5.0, (3,)),
                "gear": Categorical(5),
                "t_norm": Bounded(-5.0, 5.0, ()),
            }
        )
        assert RunningNorm(specs, ["t"], ["clock"]).out_keys == ["clock"]

    def test_images_alone_are_refused_with_the_reason(self):
        with pytest.raises(SpecError) as raised:
            RunningNorm(Bounded(0, 255, (8, 8), torch.uint8))
        assert str(raised.value) == (
            "RunningNorm cannot be built: no numbers.\n"
            "  where: observation_spec\n"
            "  expected: observations of floating numbers: indices are names, and bytes of images are divided by 255 "
            "anyway\n"
            "  got: 'observation' Bounded(low=0, high=255, shape=(8, 8), dtype=torch.uint8)\n"
            "  fix: leave it out of the networks"
        )

    @pytest.mark.parametrize(
        ("keys", "says", "fix"),
        [
            (["pos"], "'pos' is not observed.", "fix: did you mean 'pose'? in_keys=['pose']"),
            (["gear"], "'gear' is no floating numbers.", "fix: in_keys=['pose']"),
        ],
    )
    def test_what_cannot_be_standardised_is_refused(self, keys, says, fix):
        with pytest.raises(SpecError) as raised:
            RunningNorm({"pose": Unbounded((2,)), "gear": Categorical(5)}, keys)
        first, *_, last = str(raised.value).split("\n")
        assert first == f"RunningNorm cannot be built: {says}" and last.strip() == fix

    @pytest.mark.parametrize("option", [{"clip": 0.0}, {"eps": -1.0}, {"clip": float("nan")}])
    def test_numbers_out_of_range(self, option):
        with pytest.raises(UsageError, match=f"RunningNorm cannot be built: {next(iter(option))} is out of range."):
            RunningNorm(Unbounded((2,)), **option)

    def test_a_key_for_each(self):
        with pytest.raises(SpecError, match="in_keys and out_keys are not of one number"):
            RunningNorm(Unbounded((2,)), out_keys=["a", "b"])


def actor_and_critic(env, inside):
    norm = RunningNorm(env.observation_spec)
    action = Composite({"action": env.action_spec})
    if inside:
        config = NetworkConfig(num_cells=(8,), learned_scale=True, observation_norm=norm)
        actor = ProbabilisticActor.from_spec(
            env.observation_spec, action, distribution=IndependentNormal, config=config
        )
        return norm, actor, ValueOperator.from_spec(env.observation_spec, config=config)
    config = NetworkConfig(num_cells=(8,), learned_scale=True)
    actor = ProbabilisticActor.from_spec(norm.out_specs, action, distribution=IndependentNormal, config=config)
    critic = TensorDictSequential(norm, ValueOperator.from_spec(norm.out_specs, config=config))
    return norm, ProbabilisticTensorDictSequential(norm, *actor), critic


class TestInAPipeline:
    @pytest.mark.parametrize("inside", [False, True])
    def test_log_probabilities_stay_what_they_were_until_the_update(self, inside):
        with GymEnv("Pendulum-v1", num_envs=2, seed=0, clip_actions=True) as env:
            norm, actor, critic = actor_and_critic(env, inside)
            gae, loss = GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic)
            assert Flow(env, actor, gae, loss, torch.optim.Adam(loss.parameters())).findings == ()
            collector = Collector(env, actor, frames_per_batch=64)
            for _ in range(3):
                batch = collector.collect()
                out = loss(gae(batch))
                assert out["kl_approx"].abs() < 1e-6
                update(loss, batch)
                assert loss(batch)["kl_approx"] > 1e-6  # the policy is another one now
            assert norm.moments[0].count == 3 * 64
            flat = batch["observation"].flatten(0, 1)
            assert (norm.moments[0].mean - flat.mean(0)).abs().max() < 0.5

    def test_the_flow_shows_it(self):
        with GymEnv("Pendulum-v1", num_envs=2, seed=0, clip_actions=True) as env:
            _, actor, _ = actor_and_critic(env, inside=False)
            (line,) = [line for line in Flow(env, actor).table().split("\n") if line.startswith("observation_norm")]
        assert line.split() == ["observation_norm", "[3]", "float32", "RunningNorm", "MLP"]

    def test_a_network_that_passes_it_by_is_refused(self):
        net = TensorDictModule(nn.Linear(2, 1), ["observation"], ["logits"])
        with pytest.raises(ContractError, match=r"did you mean 'observation_norm'\?"):
            TensorDictSequential(seen(), net)

    def test_a_checkpoint_and_a_copy_have_the_statistics(self, tmp_path):
        norm = seen()
        actor = TensorDictSequential(norm, TensorDictModule(nn.Linear(2, 1), ["observation_norm"], ["action"]))
        save_model(actor, str(tmp_path / "actor.safetensors"))
        fresh = TensorDictSequential(
            RunningNorm(Unbounded((2,))), TensorDictModule(nn.Linear(2, 1), ["observation_norm"], ["action"])
        )
        load_model(fresh, str(tmp_path / "actor.safetensors"))
        twin = copy.deepcopy(actor)
        norm.update(ROWS * 5.0)
        for other in (fresh, twin):
            assert torch.equal(other[0](ROWS), seen()(ROWS))
            other[0].update(ROWS * 5.0)
            assert torch.equal(other(ROWS)[1], actor(ROWS)[1])

    def test_it_compiles_and_exports_in_one_graph(self):
        norm = seen()
        compiled = torch.compile(norm, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(ROWS), norm(ROWS))
        norm.update(ROWS * 5.0)
        torch.testing.assert_close(compiled(ROWS), norm(ROWS))

        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.norm = norm

            def forward(self, x):
                return self.norm(x)

        exported = torch.export.export(Network(), (ROWS,))
        torch.testing.assert_close(exported.module()(ROWS), norm(ROWS))

    def test_gradients_go_through_it(self):
        x = ROWS.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(seen()(x).sum(), x)
        torch.testing.assert_close(gradient, torch.tensor([[1.0, 0.1], [1.0, 0.1]]))
