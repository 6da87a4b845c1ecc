"""A collected batch beside a loop written by hand: the same numbers, bit for bit."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import nn

from keywork.collectors import Collector
from keywork.distributions import Categorical
from keywork.envs import GymEnv
from keywork.envs.native import CartPole, Pendulum
from keywork.modules import GRUModule, ProbabilisticActor
from keywork.nn import TensorDictModule, TensorDictModuleBase

NEXT = ("observation", "reward", "done", "terminated", "truncated")


def network(features: int = 4) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(features, 16), nn.Tanh(), nn.Linear(16, 2))


def greedy(net: nn.Module) -> ProbabilisticActor:
    module = TensorDictModule(net, ["observation"], ["logits"])
    return ProbabilisticActor(module, ["logits"], distribution_class=Categorical, return_log_prob=True)


def stacked(steps: list[dict]) -> dict:
    return {key: torch.stack([step[key] for step in steps], 1) for key in steps[0]}


def assert_equal(batch, by_hand: dict) -> None:
    assert set(batch.keys(include_nested=True, leaves_only=True)) == {*by_hand, "done", "terminated", "truncated"}
    for key, value in by_hand.items():
        assert batch[key].dtype is value.dtype, key
        assert torch.equal(batch[key], value), key


@torch.no_grad()
def in_vector_env(net: nn.Module, seeds: list[int], steps: int) -> dict:
    """Gymnasium alone: the likeliest action of a network in its own vector environment."""
    env = gymnasium.make_vec(
        "CartPole-v1", len(seeds), vectorization_mode="sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}
    )
    shown, _ = env.reset(seed=seeds)
    is_init, taken = np.ones(len(seeds), np.bool_), []
    for _ in range(steps):
        logits = net(torch.from_numpy(shown))
        action = logits.argmax(-1)
        log_prob = torch.log_softmax(logits, -1).gather(-1, action[:, None])[:, 0]
        step = {"observation": shown, "is_init": is_init[:, None], "logits": logits, "action": action}
        step |= {"sample_log_prob": log_prob}
        shown, reward, terminated, truncated, info = env.step(action.numpy())
        reached, is_init = shown.copy(), terminated | truncated
        for row in np.flatnonzero(is_init):
            reached[row] = info["final_obs"][row]
        values = (
            reached,
            reward.astype(np.float32)[:, None],
            is_init[:, None],
            terminated[:, None],
            truncated[:, None],
        )
        step |= {("next", key): value for key, value in zip(NEXT, values, strict=True)}
        taken.append({key: torch.as_tensor(value).clone() for key, value in step.items()})
    return stacked(taken)


def test_a_feed_forward_policy_in_gymnasium():
    net = network()
    modes = {"autoreset_mode": AutoresetMode.SAME_STEP}
    vector = gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync", vector_kwargs=modes)
    with GymEnv(vector, seed=5) as env:
        collector = Collector(env, greedy(net), frames_per_batch=120, exploration_type="mode")
        batches = [collector.collect() for _ in range(2)]
        own = env._stepper._child_seeds()
    by_hand = in_vector_env(net, own, 80)
    assert by_hand["next", "done"].any()
    for number, batch in enumerate(batches):
        assert_equal(batch, {key: value[:, 40 * number : 40 * (number + 1)] for key, value in by_hand.items()})


@torch.no_grad()
def in_native(net: nn.Module, env: CartPole, steps: int) -> dict:
    """Tensors alone: choices of a network, drawn as its distribution draws them."""
    shown, taken = env.begin()["observation"], []
    is_init = torch.ones(env.num_envs, 1, dtype=torch.bool)
    for _ in range(steps):
        logits = net(shown)
        action, log_prob = Categorical(logits=logits).sample_and_log_prob()
        step = {"observation": shown, "is_init": is_init, "logits": logits, "action": action}
        step |= {"sample_log_prob": log_prob}
        reached = env.advance(action)
        values = (reached.next_observation["observation"], *reached[2:6])
        step |= {("next", key): value for key, value in zip(NEXT, values, strict=True)}
        taken.append(step)
        shown, is_init = reached.observation["observation"], reached.done
    return stacked(taken)


def test_a_drawing_policy_in_native_environments():
    net = network()
    torch.manual_seed(2)
    by_hand = in_native(net, CartPole(50, seed=3), 60)
    torch.manual_seed(2)
    collector = Collector(CartPole(50, seed=3), greedy(net), frames_per_batch=50 * 30)
    assert by_hand["next", "done"].any()
    for number in range(2):
        part = {key: value[:, 30 * number : 30 * (number + 1)] for key, value in by_hand.items()}
        assert_equal(collector.collect(), part)


@torch.no_grad()
def test_a_recurrent_policy():
    torch.manual_seed(0)
    memory, head = GRUModule(4, 8, in_key="observation", out_key="features"), nn.Linear(8, 2)
    actor = ProbabilisticActor(
        [memory, TensorDictModule(head, ["features"], ["logits"])], ["logits"], distribution_class=Categorical
    )
    batch = Collector(CartPole(20, seed=0), actor, frames_per_batch=20 * 50, exploration_type="mode").collect()
    cell = nn.GRUCell(4, 8)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    cell.load_state_dict({name: memory.layers.state_dict()[f"{name}_l0"] for name in names})
    env = CartPole(20, seed=0)
    shown, state = env.begin()["observation"], torch.zeros(20, 8)
    assert batch["next", "done"].any()
    for t in range(50):
        assert torch.equal(batch["observation"][:, t], shown)
        assert torch.equal(batch["recurrent_state"][:, t, 0], state)
        after = cell(shown, state)
        assert torch.equal(batch["next", "recurrent_state"][:, t, 0], after)
        action = head(after).argmax(-1)
        assert torch.equal(batch["action"][:, t], action)
        reached = env.advance(action)
        shown, state = reached.observation["observation"], after.masked_fill(reached.done, 0.0)


class InPlace(TensorDictModuleBase):
    """Works on its input, and hands out the same memory in every step."""

    def __init__(self):
        super().__init__(["observation"], ["action", "seen"])
        self.action, self.seen = torch.zeros(4, dtype=torch.int64), torch.zeros(4, 1)

    def compute(self, observation):
        self.seen.copy_(observation[:, :1])
        observation.fill_(100.0)
        return self.action, self.seen


@pytest.mark.parametrize("make", [lambda: GymEnv("CartPole-v1", 4, seed=0), lambda: CartPole(4, seed=0)])
def test_a_policy_that_uses_its_memory_again_leaves_none_of_it_in_the_batch(make):
    with make() as env:
        batch = Collector(env, InPlace(), frames_per_batch=20).collect()
    assert torch.equal(batch["seen"], batch["observation"][..., :1])
    assert batch["observation"].abs().max() < 5.0 and batch["next", "observation"].abs().max() < 5.0


def test_what_native_environments_give_stays_in_tensors_and_in_memory_of_each_batch():
    env = Pendulum(6, seed=0)
    collector = Collector(env, None, frames_per_batch=6)
    first = collector.collect()
    kept = first.clone()
    second = collector.collect()
    assert (first == kept).all()
    assert torch.equal(second["observation"][:, 0], first["next", "observation"][:, 0])
    assert first["next", "observation"].data_ptr() != second["observation"].data_ptr()
    assert first["observation"].device == env.device
