from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from keywork._errors import SpecError
from keywork.functional import categorical_loss, categorical_projection, quantile_huber_loss

laws = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 10_000)


def assert_close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def random_case(seed: int, rows: int = 3, atoms: int = 7):
    g = torch.Generator().manual_seed(seed)
    probs = torch.randn(rows, atoms, generator=g, dtype=torch.float64).softmax(-1)
    reward = 2 * torch.randn(rows, 1, generator=g, dtype=torch.float64)
    terminated = torch.rand(rows, 1, generator=g) < 0.3
    return probs, reward, terminated, torch.linspace(-2.0, 3.0, atoms, dtype=torch.float64)


def projection_by_loop(p, r, terminated, z, gamma):
    """The paper's sum of triangles."""
    m, width = torch.zeros_like(p), float(z[1] - z[0])
    for b in range(p.shape[0]):
        for i in range(p.shape[1]):
            for j in range(p.shape[1]):
                moved = float(r[b, 0]) + gamma * (not terminated[b, 0]) * float(z[j])
                moved = min(max(moved, float(z[0])), float(z[-1]))
                m[b, i] += float(p[b, j]) * max(0.0, 1.0 - abs(moved - float(z[i])) / width)
    return m


def quantile_loss_by_loop(theta, target, taus, kappa):
    loss = torch.zeros(theta.shape[0], dtype=theta.dtype)
    for b in range(theta.shape[0]):
        for i in range(theta.shape[1]):
            for j in range(target.shape[1]):
                u = float(target[b, j] - theta[b, i])
                huber = abs(u) - kappa / 2 if abs(u) > kappa else u * u / (2 * kappa)
                loss[b] += abs(float(taus[b, i]) - (u < 0)) * huber / target.shape[1]
    return loss


class TestProjection:
    def test_by_hand(self):
        # Atoms 0, 1, 2; gamma = 1/2, r = 1/4: they move to .25, .75 and 1.25.
        # m0 = .2 * .75 + .4 * .25 = .25; m1 = .2 * .25 + .4 * .75 + .4 * .75 = .65; m2 = .4 * .25 = .1
        p, z, r = torch.tensor([[0.2, 0.4, 0.4]]), torch.tensor([0.0, 1.0, 2.0]), torch.tensor([[0.25]])
        m = categorical_projection(p, r, torch.tensor([[False]]), z, gamma=0.5)
        torch.testing.assert_close(m, torch.tensor([[0.25, 0.65, 0.1]]))
        # Terminated, all is at r = .25: .75 of it on 0 and .25 on 1.
        m = categorical_projection(p, r, torch.tensor([[True]]), z, gamma=0.5)
        torch.testing.assert_close(m, torch.tensor([[0.75, 0.25, 0.0]]))
        # r = 9 is clipped to the last atom, -9 to the first.
        ends = categorical_projection(
            p.expand(2, 3), torch.tensor([[9.0], [-9.0]]), torch.zeros(2, 1) > 0, z, gamma=0.5
        )
        torch.testing.assert_close(ends, torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))

    def test_moved_nowhere_it_stays(self):
        p, _, _, z = random_case(0)
        zero, no = torch.zeros(3, 1, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.bool)
        assert_close(categorical_projection(p, zero, no, z, gamma=1.0), p)

    @laws
    @given(seed=seeds, atoms=st.integers(2, 9), gamma=st.floats(0.0, 1.0))
    def test_equals_the_sum(self, seed, atoms, gamma):
        case = random_case(seed, atoms=atoms)
        assert_close(categorical_projection(*case, gamma=gamma), projection_by_loop(*case, gamma))

    @laws
    @given(seed=seeds, gamma=st.floats(0.0, 1.0))
    def test_mass_and_mean_are_kept(self, seed, gamma):
        p, r, terminated, _ = random_case(seed)
        z = torch.linspace(-20.0, 20.0, 7, dtype=torch.float64) * (1 + abs(seed % 5))
        r = r.clamp(-3, 3)
        m = categorical_projection(p, r, terminated, z, gamma=gamma * 0.8)  # .8 * 20 + 3 < 20: nothing is clipped
        assert_close(m.sum(-1), torch.ones(3, dtype=torch.float64))
        mean = r + gamma * 0.8 * (p @ z).unsqueeze(-1) * ~terminated
        torch.testing.assert_close((m @ z).unsqueeze(-1), mean, rtol=1e-9, atol=1e-8)

    def test_a_discount_for_each_transition(self):
        p, r, terminated, z = random_case(4)
        gamma = torch.tensor([[0.9], [0.81], [0.0]], dtype=torch.float64)
        want = [
            categorical_projection(p[i : i + 1], r[i : i + 1], terminated[i : i + 1], z, gamma=float(gamma[i]))
            for i in range(3)
        ]
        assert_close(categorical_projection(p, r, terminated, z, gamma=gamma), torch.cat(want))

    def test_more_batch_dimensions_vmap_compile_gradcheck(self):
        p, r, terminated, z = random_case(2, rows=6)

        def compute(p, r, terminated):
            return categorical_projection(p, r, terminated, z, gamma=0.9)

        want = compute(p, r, terminated)
        folded = compute(*(x.reshape(2, 3, -1) for x in (p, r, terminated)))
        assert_close(folded.reshape(6, -1), want)
        assert_close(torch.vmap(compute)(p, r, terminated), want)
        assert_close(torch.compile(compute, fullgraph=True, backend="eager")(p, r, terminated), want)
        inputs = (p.clone().requires_grad_(), r.clone().requires_grad_())
        assert torch.autograd.gradcheck(lambda p, r: compute(p, r, terminated), inputs)

    def test_refusals(self):
        p, r, terminated, z = random_case(0)
        with pytest.raises(SpecError) as error:
            categorical_projection(p, r[:, 0], terminated, z, gamma=0.9)
        assert str(error.value) == (
            "categorical_projection cannot be computed: its tensors do not belong together. It takes probs_tp1 [*B, n] "
            "and reward_t, terminated_t [*B, 1]; got probs_tp1 [3, 7], reward_t [3], terminated_t [3, 1]. "
            "A trailing dimension of one is added with .unsqueeze(-1)."
        )
        with pytest.raises(SpecError) as error:
            categorical_projection(p, r, terminated, z[:5], gamma=0.9)
        assert str(error.value) == (
            "categorical_projection cannot be computed: the support does not fit the probabilities. It takes one atom "
            "for each of them, at least two; got support [5], probs_tp1 [3, 7]. "
            "Pass support=torch.linspace(-10.0, 10.0, 7), for example."
        )
        with pytest.raises(SpecError, match="terminated_t is no mask"):
            categorical_projection(p, r, r, z, gamma=0.9)
        with pytest.raises(SpecError, match="gamma is out of range"):
            categorical_projection(p, r, terminated, z, gamma=1.1)


class TestCategoricalLoss:
    def test_by_hand(self):
        # -(.5 log .25 + .5 log .5) = .5 * 2 log 2 + .5 log 2 = 1.5 log 2
        loss = categorical_loss(torch.tensor([[0.25, 0.5, 0.25]]).log(), torch.tensor([[0.5, 0.5, 0.0]]))
        torch.testing.assert_close(loss, 1.5 * torch.tensor([2.0]).log())

    def test_an_impossible_atom_that_nobody_wants_costs_nothing(self):
        log_p = torch.tensor([[0.0, -torch.inf]], requires_grad=True)
        loss = categorical_loss(log_p, torch.tensor([[1.0, 0.0]]))
        loss.sum().backward()
        assert loss.tolist() == [0.0] and log_p.grad.tolist() == [[-1.0, 0.0]]

    def test_least_where_the_distributions_agree(self):
        p, *_ = random_case(1)
        own = categorical_loss(p.log(), p)
        assert_close(own, torch.distributions.Categorical(p).entropy())
        assert (categorical_loss(p.flip(0).log(), p) >= own).all()

    def test_gradcheck_vmap_compile(self):
        p, *_ = random_case(1)
        m = p.flip(0)
        want = categorical_loss(p.log(), m)
        assert_close(torch.vmap(categorical_loss)(p.log(), m), want)
        assert_close(torch.compile(categorical_loss, fullgraph=True, backend="eager")(p.log(), m), want)
        assert torch.autograd.gradcheck(lambda x: categorical_loss(x, m), (p.log().requires_grad_(),))
        target = m.clone().requires_grad_()
        assert not categorical_loss(p.log(), target).requires_grad

    def test_shapes(self):
        with pytest.raises(SpecError, match=r"got log_probs_t \[3\], target_probs \[1, 3\]"):
            categorical_loss(torch.zeros(3), torch.zeros(1, 3))


class TestQuantileHuberLoss:
    def test_by_hand(self):
        # taus 1/4, 3/4. Targets 0 and 3 for quantiles 1 and 2.5:
        # u = -1, 2 (for 1): .75 * .5 + .25 * 1.5 = .75; u = -2.5, .5 (for 2.5): .25 * 2 + .75 * .125 = .59375
        # the mean over the two targets: .375 + .296875
        loss = quantile_huber_loss(torch.tensor([[1.0, 2.5]]), torch.tensor([[0.0, 3.0]]))
        assert loss.tolist() == [0.671875]

    def test_regression_by_hand(self):
        # kappa = 0: .75 * 1 + .25 * 2 = 1.25; .25 * 2.5 + .75 * .5 = 1; the mean of each: .625 + .5
        loss = quantile_huber_loss(torch.tensor([[1.0, 2.5]]), torch.tensor([[0.0, 3.0]]), kappa=0.0)
        assert loss.tolist() == [1.125]

    @laws
    @given(seed=seeds, n=st.integers(1, 5), m=st.integers(1, 5), kappa=st.floats(0.0625, 3.0), drawn=st.booleans())
    def test_equals_the_loop(self, seed, n, m, kappa, drawn):
        g = torch.Generator().manual_seed(seed)
        theta, target = (2 * torch.randn(3, k, generator=g, dtype=torch.float64) for k in (n, m))
        taus = torch.rand(3, n, generator=g, dtype=torch.float64) if drawn else (torch.arange(n).expand(3, n) + 0.5) / n
        got = quantile_huber_loss(theta, target, taus=taus if drawn else None, kappa=kappa)
        torch.testing.assert_close(got, quantile_loss_by_loop(theta, target, taus, kappa), rtol=1e-6, atol=1e-6)

    def test_a_small_kappa_is_quantile_regression(self):
        g = torch.Generator().manual_seed(0)
        theta, target = (torch.randn(4, 5, generator=g, dtype=torch.float64) for _ in range(2))
        near, limit = (quantile_huber_loss(theta, target, kappa=kappa) for kappa in (1e-9, 0.0))
        torch.testing.assert_close(near, limit, rtol=1e-7, atol=1e-7)

    def test_its_minimum_is_the_quantile(self):
        # Of 1 ... 100 the quantile at .9 lies in [90, 91]: 90 of 100 numbers are below it.
        samples = torch.arange(1.0, 101.0).unsqueeze(0)
        losses = {
            place: quantile_huber_loss(torch.tensor([[place]]), samples, taus=torch.tensor([0.9]), kappa=0.0).item()
            for place in (80.5, 88.5, 90.5, 92.5, 95.5)
        }
        assert min(losses, key=losses.get) == 90.5

    @pytest.mark.parametrize("kappa", [0.0, 1.0])
    def test_gradcheck_vmap_compile(self, kappa):
        g = torch.Generator().manual_seed(1)
        theta, target = (torch.randn(3, 4, generator=g, dtype=torch.float64) for _ in range(2))

        def compute(theta, target):
            return quantile_huber_loss(theta, target, kappa=kappa)

        want = compute(theta, target)
        assert_close(torch.vmap(compute)(theta, target), want)
        assert_close(torch.compile(compute, fullgraph=True, backend="eager")(theta, target), want)
        assert torch.autograd.gradcheck(lambda x: compute(x, target), (theta.clone().requires_grad_(),))
        assert not compute(theta, target.requires_grad_()).requires_grad

    def test_refusals(self):
        two = torch.zeros(2, 3)
        with pytest.raises(SpecError) as error:
            quantile_huber_loss(two.unsqueeze(1), two)
        assert str(error.value) == (
            "quantile_huber_loss cannot be computed: its tensors do not belong together. It takes quantiles_t [*B, N], "
            "target [*B, M] and taus [N] or [*B, N]; got quantiles_t [2, 1, 3], target [2, 3], taus [3]. "
            "Pick the quantiles of the action taken first, with .gather(...)."
        )
        for bad in ({"taus": torch.zeros(4)}, {"taus": torch.zeros(2, 1)}):
            with pytest.raises(SpecError, match="do not belong together"):
                quantile_huber_loss(two, two, **bad)
        with pytest.raises(SpecError, match="do not belong together"):
            quantile_huber_loss(torch.tensor(0.0), torch.tensor(0.0))
        with pytest.raises(SpecError, match=r"It takes kappa >= 0; got -1\.0\. The paper's choice is 1."):
            quantile_huber_loss(two, two, kappa=-1.0)
