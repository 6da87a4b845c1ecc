from __future__ import annotations

import copy

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers import FrameStackObservation
from tensordict import TensorDict
from torch import nn

from keywork._errors import MissingKeyError, SpecError, UsageError
from keywork.buffers import ReplayBuffer, SliceSampler
from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.flow import Flow
from keywork.modules import Actor, Categorical, FrameStack, NetworkConfig, ProbabilisticActor, ValueOperator
from keywork.nn import ProbabilisticTensorDictSequential, TensorDictSequential, set_recurrent_mode
from keywork.objectives import GAE, ClipPPOLoss
from keywork.specs import Bounded, Composite, Unbounded
from keywork.specs import Categorical as Choice

NUMBER, IMAGE = Unbounded((1,)), Bounded(0, 255, (3, 4), torch.uint8)


def walk(stack, values, begins):
    """The stacks of one environment, step by step: [T, k, *shape]."""
    (key,) = stack.contract.carries
    frames, stacks = stack.carried_specs.zero(1)[key], []
    for value, first in zip(values, begins, strict=True):
        stacked, frames = stack(value.unsqueeze(0), frames, torch.tensor([[bool(first)]]))
        stacks.append(stacked[0])
    return torch.stack(stacks)


def numbers(*values):
    return torch.tensor(values, dtype=torch.float32).unsqueeze(-1)


class TestSteps:
    def test_copies_of_the_first_until_there_are_enough(self):
        stacks = walk(FrameStack(3, NUMBER), numbers(1, 2, 3, 4, 5, 6), [1, 0, 0, 0, 1, 0])
        assert stacks.squeeze(-1).tolist() == [[1, 1, 1], [1, 1, 2], [1, 2, 3], [2, 3, 4], [5, 5, 5], [5, 5, 6]]

    def test_or_zeros(self):
        stacks = walk(FrameStack(3, NUMBER, padding="zero"), numbers(1, 2, 3, 4, 5, 6), [1, 0, 0, 0, 1, 0])
        assert stacks.squeeze(-1).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [0, 0, 5], [0, 5, 6]]

    def test_joined_in_a_dimension(self):
        # Two images [height 1, width 1, colours 2]: the colours of both, the older one's first.
        image = torch.tensor([[[1.0, 2.0]]])
        for dim in (-1, 2):
            stacks = walk(FrameStack(2, Unbounded((1, 1, 2)), dim=dim), [image, image + 2], [1, 0])
            assert stacks[1].tolist() == [[[1, 2, 3, 4]]]
        stacks = walk(
            FrameStack(2, Unbounded((2, 1, 1)), dim=0), [image.view(2, 1, 1), image.view(2, 1, 1) + 2], [1, 0]
        )
        assert stacks[1].flatten().tolist() == [1, 2, 3, 4] and stacks.shape == (2, 4, 1, 1)

    def test_numbers_without_a_shape(self):
        stacks = walk(FrameStack(2, Unbounded(())), torch.tensor([1.0, 2.0]), [1, 0])
        assert stacks.tolist() == [[1, 1], [1, 2]]

    def test_bytes_stay_bytes(self):
        frames = IMAGE.rand(4)
        stacks = walk(FrameStack(3, IMAGE), frames, [1, 0, 0, 0])
        assert stacks.dtype is torch.uint8
        assert torch.equal(stacks[3], frames[1:])

    def test_what_is_handed_on_shares_no_memory_with_the_stack(self):
        stack = FrameStack(3, NUMBER)
        stacked, following = stack(numbers(1), torch.zeros(1, 2, 1), torch.tensor([[False]]))
        stacked.add_(7.0)
        assert following.flatten().tolist() == [0, 1]

    @pytest.mark.parametrize("padding", ["reset", "zero"])
    def test_as_gymnasium_does(self, padding):
        env = FrameStackObservation(gymnasium.make("CartPole-v1"), 4, padding_type=padding)
        bare = gymnasium.make("CartPole-v1")
        theirs, ours, begins = [], [], []
        for episode in range(3):
            theirs.append(env.reset(seed=episode)[0].copy())
            ours.append(bare.reset(seed=episode)[0])
            begins.append(True)
            done = False
            while not done:
                theirs.append(env.step(1)[0].copy())
                observation, _, done, _, _ = bare.step(1)
                ours.append(observation)
                begins.append(False)
        stack = FrameStack(4, Unbounded((4,)), padding=padding)
        assert np.array_equal(walk(stack, torch.from_numpy(np.stack(ours)), begins).numpy(), np.stack(theirs))


def stored(stack, values, begins):
    """What a collector would store of rows ``[N, T, *shape]``: the frames as each step had them."""
    frames = stack.carried_specs.zero(len(values))["observation_frames"]
    steps = []
    for t in range(values.shape[1]):
        td = TensorDict(
            observation=values[:, t], observation_frames=frames, is_init=begins[:, t], batch_size=[len(values)]
        )
        steps.append(stack(td))
        frames = td["next", "observation_frames"]
    return torch.stack(steps, 1)


class TestSequences:
    @pytest.mark.parametrize("padding", ["reset", "zero"])
    @pytest.mark.parametrize("spec", [NUMBER, Unbounded(()), IMAGE], ids=str)
    @pytest.mark.parametrize("k", [2, 3, 9])
    def test_they_are_what_the_steps_are_bit_for_bit(self, padding, spec, k):
        generator = torch.Generator().manual_seed(k)
        stack = FrameStack(k, spec, padding=padding)
        begins = torch.rand(5, 12, 1, generator=generator) < 0.3
        steps = stored(stack, spec.rand((5, 12), generator=generator), begins)
        read = steps.select("observation", "observation_frames", "is_init")
        with set_recurrent_mode(True):
            for part in (slice(0, 12), slice(4, 10), slice(3, 4)):  # the whole rows, and slices of them
                rows = stack(read[:, part].clone())
                assert torch.equal(rows["observation_stack"], steps["observation_stack"][:, part])
                assert torch.equal(rows["next", "observation_frames"], steps["next", "observation_frames"][:, part])

    def test_only_the_frames_of_the_first_step_are_read(self):
        stack = FrameStack(3, NUMBER)
        begins = torch.zeros(1, 4, 1, dtype=torch.bool)
        frames = torch.full((1, 4, 2, 1), torch.nan)
        frames[:, 0] = numbers(8, 9)
        with set_recurrent_mode(True):
            stacked, _ = stack(numbers(1, 2, 3, 4).unsqueeze(0), frames, begins)
        assert stacked.squeeze(-1).tolist() == [[[8, 9, 1], [9, 1, 2], [1, 2, 3], [2, 3, 4]]]

    def test_batches_of_more_dimensions(self):
        stack = FrameStack(3, NUMBER, dim=-1)
        value, frames = torch.randn(2, 3, 5, 1), torch.randn(2, 3, 5, 2, 1)
        begins = torch.rand(2, 3, 5, 1) < 0.3
        with set_recurrent_mode(True):
            whole, following = stack(value, frames, begins)
            one, after = stack(value[1], frames[1], begins[1])
        assert whole.shape == (2, 3, 5, 3) and following.shape == (2, 3, 5, 2, 1)
        assert torch.equal(whole[1], one) and torch.equal(following[1], after)


class TestWhatItIsBuiltFor:
    def test_specs_of_what_it_writes(self):
        speed = Unbounded((2,))
        seen = Composite({"camera": Bounded(1, 255, (8, 9, 3), torch.uint8), "speed": speed})
        stack = FrameStack(4, seen, "camera")
        assert stack.out_specs == Composite(
            {"camera_stack": Bounded(1, 255, (4, 8, 9, 3), torch.uint8), "speed": speed}
        )
        assert stack.carried_specs == Composite({"camera_frames": Bounded(0, 255, (3, 8, 9, 3), torch.uint8)})
        joined = FrameStack(4, seen, "camera", dim=2, padding="zero", frames_key="memory", out_key="seen")
        assert joined.out_specs["seen"] == Bounded(0, 255, (8, 9, 12), torch.uint8)
        assert joined.contract.carries == ("memory",)
        assert FrameStack(2, Unbounded((3, 1, 2)), dim=1).out_specs["observation_stack"].shape == (3, 2, 2)
        bounds = Bounded([[0.0, 1.0]], [[2.0, 3.0]])
        spec = FrameStack(2, bounds, dim=-1).out_specs["observation_stack"]
        assert spec.low.tolist() == [[0, 1, 0, 1]] and spec.high.tolist() == [[2, 3, 2, 3]]

    def test_other_keys_and_a_copy(self):
        stack = FrameStack(2, {"observation": NUMBER, "mask": Choice(2)})
        other = stack.renamed({"observation": "pixels", "observation_frames": "memory"})
        assert other.in_keys == ["pixels", "memory", "is_init"]
        assert other.out_keys == ["observation_stack", ("next", "memory")] and other.is_init_key == "is_init"
        assert other.carried_specs.keys() == ("memory",) and other.out_specs.keys() == ("observation_stack", "mask")
        assert copy.deepcopy(stack).out_specs == stack.out_specs and not stack.state_dict()

    def test_what_cannot_be_is_refused(self):
        with pytest.raises(SpecError) as raised:
            FrameStack(4, {"gear": Choice(3)}, "gear")
        assert str(raised.value) == (
            "FrameStack cannot be built: 'gear' is no numbers.\n"
            "  where: observation_spec\n"
            "  expected: numbers, Bounded or Unbounded: frames of images or measurements\n"
            "  got: 'gear' Categorical(n=3, shape=(), dtype=torch.int64)\n"
            "  fix: in_key=... of these, or a recurrent module for other observations"
        )
        with pytest.raises(SpecError, match="'observation' is not observed"):
            FrameStack(4, {"gear": NUMBER})
        with pytest.raises(UsageError, match="FrameStack cannot be built: num_frames is out of range"):
            FrameStack(1, NUMBER)
        with pytest.raises(UsageError) as refused:
            FrameStack(2.5, NUMBER)
        assert str(refused.value) == (
            "FrameStack cannot be built: num_frames is out of range.\n"
            "  where: num_frames\n"
            "  expected: a whole number from two on: one is the observation\n"
            "  got: 2.5\n"
            "  fix: num_frames=4"
        )
        with pytest.raises(UsageError, match="padding is out of range"):
            FrameStack(4, NUMBER, padding="edge")
        for spec, dim in ((NUMBER, 1), (NUMBER, -2), (Unbounded(()), 0)):
            with pytest.raises(UsageError, match="its observation has no such dimension"):
                FrameStack(4, spec, dim=dim)

    def test_inputs_that_do_not_fit_together(self):
        stack, first = FrameStack(3, IMAGE), torch.tensor([[True]] * 5)
        value, frames = IMAGE.rand(5), IMAGE.rand((5, 2))
        for bad in (
            (value, frames[:, :1], first),
            (value, frames.float(), first),
            (value, frames, first.float()),
            (value, frames, first[:3]),
            (value[:, :2], frames, first),
        ):
            with pytest.raises(SpecError) as raised:
                stack(*bad)
            assert str(raised.value).startswith("FrameStack cannot run: its inputs do not fit together.")
        with set_recurrent_mode(True), pytest.raises(SpecError) as raised:
            stack(value, frames, first)
        assert str(raised.value) == (
            "FrameStack cannot run: its inputs do not fit together.\n"
            "  where: a sequence [*B, T]\n"
            "  expected: 'observation' [*B, T, 3, 4], 'observation_frames' [*B, T, 2, 3, 4], 'is_init' [*B, T, 1] of "
            "dtype bool, and frames of one dtype\n"
            "  got: 'observation' uint8[5, 3, 4], 'observation_frames' uint8[5, 2, 3, 4], 'is_init' bool[5, 1]\n"
            "  fix: feed what a collector stores: it carries the frames, and writes the flag; whole rows to a sequence"
        )

    def test_steps_and_sequences_compile_in_one_graph(self):
        stack = FrameStack(3, IMAGE)
        # Another module of other sizes first: sizes are symbols after that.
        torch.compile(FrameStack(2, NUMBER), fullgraph=True, backend="aot_eager")(
            torch.zeros(3, 1), torch.zeros(3, 1, 1), torch.zeros(3, 1, dtype=torch.bool)
        )
        compiled = torch.compile(stack, fullgraph=True, backend="aot_eager")
        value, frames, begins = IMAGE.rand((2, 5)), IMAGE.rand((2, 5, 2)), torch.rand(2, 5, 1) < 0.3
        for mode in (False, True):
            with set_recurrent_mode(mode):
                for ours, theirs in zip(compiled(value, frames, begins), stack(value, frames, begins), strict=True):
                    assert torch.equal(ours, theirs)


SMALL = NetworkConfig(num_cells=(8,))


class TestInAPipeline:
    @pytest.mark.parametrize("shared", [False, True])
    def test_what_is_learned_from_is_what_was_collected(self, shared):
        with GymEnv("CartPole-v1", num_envs=3, seed=0) as env:
            stack = FrameStack(4, env.observation_spec)
            actor = ProbabilisticTensorDictSequential(
                stack, *ProbabilisticActor.from_spec(stack.out_specs, env.action_spec, config=SMALL)
            )
            critic = ValueOperator.from_spec(env.observation_spec, config=SMALL)
            if shared:
                critic = TensorDictSequential(stack, ValueOperator.from_spec(stack.out_specs, config=SMALL))
            gae, loss = GAE(0.99, 0.95, critic), ClipPPOLoss(actor, critic)
            flow = Flow(env, actor, gae, loss, torch.optim.Adam(loss.parameters()))
            assert flow.findings == ()
            collector = Collector(env, actor, frames_per_batch=120)
            for _ in range(2):
                batch = collector.collect()
                assert batch["is_init"][:, 1:].any()
                assert loss(gae(batch))["kl_approx"].abs() < 1e-6
            with set_recurrent_mode(True):
                again = stack(batch.select("observation", "observation_frames", "is_init"))
            assert torch.equal(again["observation_stack"], batch["observation_stack"])
            # Rows [N] of single steps hold all that a step needs.
            flat = batch.flatten(0, 1)
            assert torch.equal(stack(flat.clone())["observation_stack"], flat["observation_stack"])

    def test_the_value_after_an_episode_s_last_step_is_that_of_its_last_frames(self):
        with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
            stack = FrameStack(2, env.observation_spec)
            net = ProbabilisticActor.from_spec(stack.out_specs, env.action_spec, config=SMALL)
            critic = TensorDictSequential(
                stack, ValueOperator(nn.Sequential(nn.Flatten(-2), nn.Linear(8, 1)), ["observation_stack"])
            )
            collector = Collector(env, ProbabilisticTensorDictSequential(stack, *net), frames_per_batch=100)
            batch = GAE(0.5, 0.0, critic)(collector.collect())
            # One-step targets: r + γ v([s, s']) where it goes on, whatever the next row begins with.
            both = torch.stack([batch["observation"], batch["next", "observation"]], -2)
            following = critic[1](both)
            expected = batch["next", "reward"] + 0.5 * following * ~batch["next", "terminated"]
        assert batch["next", "done"].any()
        torch.testing.assert_close(batch["value_target"], expected)

    def test_slices_of_a_buffer(self):
        with GymEnv("CartPole-v1", num_envs=2, seed=0) as env:
            stack = FrameStack(4, env.observation_spec)
            net = ProbabilisticActor.from_spec(stack.out_specs, env.action_spec, config=SMALL)
            actor = ProbabilisticTensorDictSequential(stack, *net)
            buffer = ReplayBuffer(1000, sampler=SliceSampler(6), seed=0)
            buffer.extend(Collector(env, actor, frames_per_batch=200).collect())
        slices = buffer.sample(64)
        assert slices["is_init"][:, 0].any() and not slices["is_init"][:, 0].all()
        with set_recurrent_mode(True):
            torch.testing.assert_close(actor.log_prob(slices), slices["sample_log_prob"])
            again = stack(slices.select("observation", "observation_frames", "is_init"))
        assert torch.equal(again["observation_stack"], slices["observation_stack"])

    def test_images_go_to_a_convolution_as_bytes(self):
        stack = FrameStack(4, Bounded(0, 255, (36, 36), torch.uint8))
        actor = ProbabilisticTensorDictSequential(
            stack, *ProbabilisticActor.from_spec(stack.out_specs, Choice(3), config=SMALL)
        )
        assert any(isinstance(part, nn.Conv2d) and part.in_channels == 4 for part in actor.modules())
        td = TensorDict(stack.carried_specs.zero(2), batch_size=[2])
        td["observation"] = torch.zeros(2, 36, 36, dtype=torch.uint8)
        td["is_init"] = torch.ones(2, 1, dtype=torch.bool)
        assert actor(td)["observation_stack"].dtype is torch.uint8 and actor.distribution_class is Categorical


def test_missing_frames_are_asked_for_by_the_chain_too_and_no_other_entry_is_meant():
    stack = FrameStack(3, Unbounded((2,)))
    policy = TensorDictSequential(stack, Actor(nn.Sequential(nn.Flatten(-2), nn.Linear(6, 1)), ["observation_stack"]))
    td = TensorDict(observation=torch.zeros(4, 2), is_init=torch.ones(4, 1, dtype=torch.bool), batch_size=[4])
    with pytest.raises(MissingKeyError) as error:
        policy(td)
    assert "did you mean" not in str(error.value)
    line = "td['observation_frames'] = torch.zeros(*td.batch_size, 2, 2, dtype=torch.float32)"
    assert line in str(error.value)
    td["observation_frames"] = torch.zeros(*td.batch_size, 2, 2, dtype=torch.float32)
    assert policy(td)["action"].shape == (4, 1)
