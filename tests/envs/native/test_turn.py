"""The step as a pure function: compiled or not, and through it a gradient."""

import pytest
import torch

from keywork.envs.native import Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum


# What Inductor imports when it is first needed warns of parts of torch that are not used here.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("cls", [CartPole, MountainCarContinuous])
def test_a_compiled_environment_does_the_same(cls):
    plain, compiled = (cls(5, seed=0, time_limit=9, compile=way) for way in (False, True))
    assert torch.equal(plain.begin()["observation"], compiled.begin()["observation"])
    for _ in range(20):
        action = plain.random_action()
        ours, theirs = compiled.advance(action), plain.advance(action)
        torch.testing.assert_close(ours.observation, theirs.observation, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(ours.next_observation, theirs.next_observation, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(ours[2:6], theirs[2:6], atol=1e-6, rtol=1e-6)
        assert [episode[::2] for episode in ours.episodes] == [episode[::2] for episode in theirs.episodes]


@pytest.mark.parametrize("cls", [Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum])
def test_the_dynamics_take_any_batch(cls):
    state = cls.start(torch.rand(cls.draws, 2, 3, dtype=torch.float64))
    assert state.shape == (cls.variables, 2, 3)
    action = torch.zeros(2, 3) if cls.acted.shape else torch.zeros(2, 3, dtype=torch.int64)
    moved = cls.dynamics(state, action)
    single = cls.dynamics(state[:, 1, 2], action[1, 2])
    assert moved.state.dtype is torch.float64
    assert moved.terminated.dtype is torch.bool
    torch.testing.assert_close(moved.state[:, 1, 2], single.state)
    assert moved.reward.shape == (2, 3)
    assert cls.observe(moved.state).shape == (2, 3, *cls.observed.shape)


def test_a_gradient_goes_through_the_dynamics():
    state = torch.tensor([[0.0], [0.0]], dtype=torch.float64)
    torque = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    Pendulum.dynamics(state, torque).state.sum().backward()
    # d omega / du = 3 * 0.05 = 0.15; d theta / du = 0.05 * 0.15 = 0.0075.
    torch.testing.assert_close(torque.grad, torch.tensor([0.1575], dtype=torch.float64))


def test_a_step_of_each_by_hand():
    def after(cls, state, action):
        column = torch.tensor(state, dtype=torch.float64).unsqueeze(-1)
        moved = cls.dynamics(column, torch.tensor([action]))
        return moved.state.squeeze(-1).tolist(), moved.reward.item(), moved.terminated.item()

    # At rest and upright: u = 10 / 1.1 = 9.0909, omega' = -u / (0.5 (4/3 - 0.1 / 1.1)) = -9.0909 / 0.621212 = -14.6341,
    # v' = u + 0.05 * 14.6341 / 1.1 = 9.7561; each times 0.02.
    state, reward, end = after(CartPole, [0.0, 0.0, 0.0, 0.0], 1)
    assert state == pytest.approx([0.0, 0.195122, 0.0, -0.292683], abs=1e-6)
    assert (reward, end) == (1.0, False)
    assert after(CartPole, [2.39, 1.0, 0.0, 0.0], 1)[2]  # 2.39 + 0.02 > 2.4

    # omega = (15 sin(pi/2) + 3 * 2) 0.05 = 1.05; theta = pi/2 + 0.0525; reward -(pi²/4 + 0.004).
    state, reward, _ = after(Pendulum, [torch.pi / 2, 0.0], 2.0)
    assert state == pytest.approx([torch.pi / 2 + 0.0525, 1.05])
    assert reward == pytest.approx(-(torch.pi**2) / 4 - 0.004)

    # Hanging at rest, without torque, nothing moves.
    state, reward, end = after(Acrobot, [0.0, 0.0, 0.0, 0.0], 1)
    assert (state, reward, end) == (pytest.approx([0.0] * 4, abs=1e-12), -1.0, False)
    assert after(Acrobot, [torch.pi, 0.0, 0.0, 0.0], 1)[1:] == (0.0, True)  # upright: 1 + 1 > 1

    # v = 0.001 - 0.0025 cos 0 = -0.0015.
    assert after(MountainCar, [0.0, 0.0], 2) == (pytest.approx([-0.0015, -0.0015]), -1.0, False)
    # At the wall: stopped.
    assert after(MountainCar, [-1.19, -0.07], 0)[0] == pytest.approx([-1.2, 0.0])
    # v = 0.06 + 0.0015 - 0.0025 cos 1.2 = 0.0605941; x = 0.4605941, past 0.45: 100 - 0.1.
    state, reward, end = after(MountainCarContinuous, [0.4, 0.06], 1.0)
    assert (state, reward, end) == (pytest.approx([0.4605941, 0.0605941], abs=1e-6), pytest.approx(99.9), True)
