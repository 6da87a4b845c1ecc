from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from keywork._errors import NonFiniteError, UsageError
from keywork.train._flat import FlatAdam, FlatParameters


def actor_and_critic(dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)

    def net(outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, outputs))

    return net(2).to(dtype), net(1).to(dtype)


def batch(seed: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    observation = torch.randn(32, 4, generator=generator).to(dtype)
    return observation, torch.randint(2, (32, 1), generator=generator), observation.sum(-1, keepdim=True)


def loss_of(actor, critic, observation, action, target):
    log_prob = actor(observation).log_softmax(-1).gather(-1, action)
    return (critic(observation) - target).square().mean() - log_prob.mean()


def values(*modules):
    return [parameter.detach().clone() for module in modules for parameter in module.parameters()]


class TestStep:
    @pytest.mark.parametrize("max_norm", [None, 0.5, 1e6])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_equals_torch(self, max_norm, dtype):
        ours, theirs = actor_and_critic(dtype), actor_and_critic(dtype)
        parameters = [p for module in theirs for p in module.parameters()]
        adam = torch.optim.Adam(parameters, lr=1e-2, betas=(0.8, 0.95), eps=1e-5)
        flat = FlatAdam(ours, lr=1e-2, betas=(0.8, 0.95), eps=1e-5, max_grad_norm=max_norm)
        for i in range(12):
            for group in adam.param_groups:
                group["lr"] = 1e-2 / (i + 1)  # a schedule
            flat.lr = 1e-2 / (i + 1)
            loss = loss_of(*theirs, *batch(i, dtype))
            adam.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters, float("inf") if max_norm is None else max_norm)
            adam.step()
            torch.testing.assert_close(flat.step(loss_of(*ours, *batch(i, dtype))), norm)
        flat.check()
        torch.testing.assert_close(values(*ours), values(*theirs), rtol=1e-5, atol=1e-6)

    def test_first_step_by_hand(self):
        # Gradient of w² at 3 is 6; m̂ = g and v̂ = g² after one step, so the step is lr · g / (|g| + eps) = .1
        net = nn.Linear(1, 1, bias=False)
        nn.init.constant_(net.weight, 3.0)
        norm = FlatAdam(net, lr=0.1).step(net.weight.square().sum())
        assert norm.item() == 6.0
        assert net.weight.item() == pytest.approx(2.9)

    def test_bfloat16(self):
        net = nn.Linear(4, 1).to(torch.bfloat16)
        before = values(net)
        optimizer = FlatAdam(net, lr=0.1, max_grad_norm=0.5)
        optimizer.step(net(torch.ones(4, dtype=torch.bfloat16)).sum())
        optimizer.check()
        assert not any(torch.equal(a, b) for a, b in zip(before, values(net), strict=True))

    def test_leaves_grad_alone(self):
        actor, critic = actor_and_critic()
        optimizer = FlatAdam(actor, lr=0.1)
        optimizer.step(loss_of(actor, critic, *batch(0)))
        assert all(p.grad is None for module in (actor, critic) for p in module.parameters())

    def test_a_frozen_parameter_stays(self):
        actor, critic = actor_and_critic()
        actor[0].requires_grad_(False)
        before = actor[0].weight.clone()
        FlatAdam([actor, critic], lr=0.1).step(loss_of(actor, critic, *batch(0)))
        assert torch.equal(actor[0].weight, before)

    def test_a_parameter_that_no_loss_reaches_is_named_and_nothing_changes(self):
        actor, critic = actor_and_critic()
        optimizer = FlatAdam([actor, critic], lr=0.1)
        before = values(actor, critic)
        with pytest.raises(UsageError) as error:
            optimizer.step(actor(batch(0)[0]).mean())
        assert str(error.value) == (
            "The step cannot be taken: the loss does not depend on every parameter. It takes all 12; "
            "got no gradient for '1.0.weight', '1.0.bias', '1.2.weight', '1.2.bias', '1.4.weight', '1.4.bias'. "
            "Check what the loss reads; leave out the module, or freeze it with requires_grad_(False) before; "
            "after load_state_dict(..., assign=True), build the optimiser anew."
        )
        assert all(torch.equal(a, b) for a, b in zip(before, values(actor, critic), strict=True))

    def test_a_loss_per_sample_is_refused(self):
        net = nn.Linear(4, 1)
        with pytest.raises(UsageError) as error:
            FlatAdam(net, lr=0.1).step(net(torch.ones(3, 4)))
        assert str(error.value) == (
            "The step cannot be taken: the loss is no scalar. It takes a tensor of shape []; got shape [3, 1]. "
            "Pass loss.mean()."
        )


class TestNonFinite:
    def poisoned(self, kind, actor, critic):
        loss = loss_of(actor, critic, *batch(1))
        if kind == "loss":
            return loss + torch.tensor(float("nan"))  # the gradient is finite
        if kind == "gradient":
            return loss + (actor[0].weight - actor[0].weight).abs().sqrt().sum()  # the loss is finite
        return loss * float("inf")

    @pytest.mark.parametrize("kind", ["loss", "gradient", "both"])
    @pytest.mark.parametrize("max_norm", [None, 0.5])
    def test_changes_nothing_and_is_reported(self, kind, max_norm):
        nets, clean = actor_and_critic(), actor_and_critic()
        optimizer, reference = (FlatAdam(m, lr=1e-2, max_grad_norm=max_norm) for m in (nets, clean))
        for i in range(3):
            optimizer.step(loss_of(*nets, *batch(i)))
            reference.step(loss_of(*clean, *batch(i)))
            if i == 1:
                optimizer.step(self.poisoned(kind, *nets))
        with pytest.raises(NonFiniteError) as error:
            optimizer.check()
        assert str(error.value) == (
            "1 of the last 4 optimiser steps could not be taken: the loss or its gradient was NaN or infinite. "
            "Those steps changed nothing: the parameters are finite. Look for NaN in observations and rewards first; "
            f"then try a smaller learning rate (lr, now 0.01) or clipping (max_grad_norm, now {max_norm})."
        )
        # Parameters, moments and the count of steps are those of a run without the poisoned step.
        assert all(torch.equal(a, b) for a, b in zip(values(*nets), values(*clean), strict=True))
        ours, theirs = optimizer.state_dict(), reference.state_dict()
        assert ours["count"] == theirs["count"] == 3
        assert torch.equal(ours["second_moment"], theirs["second_moment"])

    def test_is_reported_once(self):
        nets = actor_and_critic()
        optimizer = FlatAdam(nets, lr=1e-2)
        optimizer.step(loss_of(*nets, *batch(0)) * float("nan"))
        with pytest.raises(NonFiniteError, match="1 of the last 1"):
            optimizer.check()
        optimizer.step(loss_of(*nets, *batch(0)))
        optimizer.check()
        optimizer.step(loss_of(*nets, *batch(0)) * float("inf"))
        with pytest.raises(NonFiniteError, match="1 of the last 1"):
            optimizer.check()


class TestLayout:
    def test_order_names_and_views(self):
        actor, critic = actor_and_critic()
        before = values(actor, critic)
        flat = FlatParameters([actor, critic])
        assert flat.names[:3] == ("0.0.weight", "0.0.bias", "0.2.weight")
        assert flat.names[6] == "1.0.weight"
        assert torch.equal(flat.vector, torch.cat([x.flatten() for x in before]))
        assert all(torch.equal(a, b) for a, b in zip(before, values(actor, critic), strict=True))
        flat.vector.zero_()
        assert not any(x.any() for x in values(actor, critic))

    def test_a_shared_parameter_comes_once(self):
        first, second = nn.Linear(3, 3), nn.Linear(3, 3)
        second.weight = first.weight
        flat = FlatParameters([first, second])
        assert flat.names == ("0.weight", "0.bias", "1.bias")
        assert flat.vector.shape == (9 + 3 + 3,)
        assert first.weight is second.weight

    def test_parameters_with_gaps_in_memory(self):
        net = nn.Linear(3, 2)
        net.weight.data = torch.arange(6.0).view(3, 2).t()
        FlatParameters(net)
        assert net.weight.tolist() == [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]

    def test_the_modules_stay_ordinary(self, tmp_path):
        nets = actor_and_critic()
        optimizer = FlatAdam(nets, lr=1e-2)
        saved = {name: x.clone() for name, x in nets[0].state_dict().items()}
        save_file(nets[0].state_dict(), tmp_path / "actor.safetensors")
        torch.save(nets[0].state_dict(), tmp_path / "actor.pt")
        copied = copy.deepcopy(nets)
        optimizer.step(loss_of(*nets, *batch(0)))
        assert not torch.equal(nets[0][0].weight, saved["0.weight"])
        assert torch.equal(copied[0][0].weight, saved["0.weight"])  # a copy has memory of its own
        for state in (load_file(tmp_path / "actor.safetensors"), torch.load(tmp_path / "actor.pt", weights_only=True)):
            nets[0].load_state_dict(state)
            assert torch.equal(nets[0][0].weight, saved["0.weight"])
            optimizer.step(loss_of(*nets, *batch(1)))  # loading went into the vector, so training goes on from there
            assert not torch.equal(nets[0][0].weight, saved["0.weight"])
        optimizer.check()

    @pytest.mark.parametrize("move", ["to", "second optimiser"])
    def test_torn_off_parameters_are_reported(self, move):
        nets = actor_and_critic()
        optimizer = FlatAdam(nets, lr=1e-2)
        optimizer.check()
        if move == "to":
            nets[1].double()
        else:
            FlatAdam(nets[1], lr=1e-2)
        with pytest.raises(UsageError) as error:
            optimizer.check()
        assert str(error.value) == (
            "The parameters are not trained any more: they were given new memory after the optimiser was built. "
            "It updates the memory that they had then; "
            "moved are '1.0.weight', '1.0.bias', '1.2.weight', '1.2.bias', '1.4.weight', '1.4.bias'. "
            "module.to(...) and a second optimiser for the same module do that: "
            "do it first, and build the optimiser last."
        )

    def test_replaced_parameters_are_reported(self):
        net = nn.Linear(2, 1)
        optimizer = FlatAdam(net, lr=1e-2)
        net.load_state_dict({name: x.clone() for name, x in net.state_dict().items()}, assign=True)
        with pytest.raises(UsageError, match="no gradient for 'weight', 'bias'"):
            optimizer.step(net(torch.ones(2)).sum())

    def test_a_target_network_can_follow_the_vector(self):
        net = nn.Linear(2, 1)
        target = copy.deepcopy(net)
        online, average = FlatParameters(net), FlatParameters(target)
        online.vector.add_(1.0)
        before = target.weight.clone()
        average.vector.lerp_(online.vector, 0.25)
        torch.testing.assert_close(target.weight, before + 0.25)


class TestState:
    def test_a_resumed_run_is_the_same_run(self, tmp_path):
        nets = actor_and_critic()
        optimizer = FlatAdam(nets, lr=1e-2, max_grad_norm=0.5)
        for i in range(3):
            optimizer.step(loss_of(*nets, *batch(i)))
        optimizer.lr = 5e-3
        state = optimizer.state_dict()
        tensors = {key: x for key, x in state.items() if isinstance(x, torch.Tensor)}
        save_file(tensors, tmp_path / "adam.safetensors")
        numbers = json.loads(json.dumps({key: x for key, x in state.items() if key not in tensors}))
        resumed_nets = copy.deepcopy(nets)
        resumed = FlatAdam(resumed_nets, lr=1.0, max_grad_norm=0.5)
        resumed.load_state_dict(load_file(tmp_path / "adam.safetensors") | numbers)
        for i in range(3, 6):
            optimizer.step(loss_of(*nets, *batch(i)))
            resumed.step(loss_of(*resumed_nets, *batch(i)))
        assert resumed.lr == 5e-3
        assert all(torch.equal(a, b) for a, b in zip(values(*nets), values(*resumed_nets), strict=True))

    def test_a_state_is_a_copy(self):
        net = nn.Linear(1, 1)
        optimizer = FlatAdam(net, lr=1e-2)
        state = optimizer.state_dict()
        optimizer.step(net(torch.ones(1)).sum())
        assert not state["first_moment"].any() and state["count"] == 0

    def test_a_state_of_other_modules(self):
        state = FlatAdam(nn.Linear(3, 1), lr=1e-2).state_dict()
        with pytest.raises(UsageError) as error:
            FlatAdam(nn.Linear(2, 1), lr=1e-2).load_state_dict(state)
        assert str(error.value) == (
            "The state of the optimiser cannot be loaded: it was made by another one, or for other modules. "
            "It takes count, first_moment, lr, second_moment with moments of shape [3]; "
            "got count, first_moment, lr, second_moment with [4], [4]. "
            "Build the modules as they were when it was saved."
        )

    def test_a_state_with_a_piece_missing(self):
        optimizer = FlatAdam(nn.Linear(3, 1), lr=1e-2)
        state = optimizer.state_dict()
        del state["count"]
        with pytest.raises(UsageError, match="got first_moment, lr, second_moment with"):
            optimizer.load_state_dict(state)


class TestRefusals:
    def test_no_parameters(self):
        with pytest.raises(UsageError) as error:
            FlatParameters(nn.Linear(2, 1).requires_grad_(False))
        assert str(error.value) == (
            "The parameters cannot be laid out as one vector: there is none. It takes at least one with "
            "requires_grad=True; got none in the modules. Pass the networks that are to be trained, and unfreeze them "
            "with requires_grad_(True)."
        )

    def test_lazy(self):
        with pytest.raises(UsageError) as error:
            FlatParameters([nn.Linear(2, 1), nn.LazyLinear(2)])
        assert str(error.value) == (
            "The parameters cannot be laid out as one vector: '1.weight' is lazy. It takes parameters with a shape; "
            "got an uninitialised one. Call the module once on an example first."
        )

    def test_mixed_dtypes(self):
        nets = [nn.Linear(2, 1), nn.Linear(2, 1).double()]
        with pytest.raises(UsageError) as error:
            FlatParameters(nets)
        assert str(error.value) == (
            "The parameters cannot be laid out as one vector: they differ in dtype or device. It takes one of each; "
            "got '0.weight' torch.float32 on cpu and '1.weight' torch.float64 on cpu. "
            "Move the modules with .to(device, dtype) first, or give each kind an optimiser of its own."
        )

    def test_mixed_devices(self):
        with pytest.raises(UsageError, match=r"'1\.weight' torch\.float32 on meta"):
            FlatParameters([nn.Linear(2, 1), nn.Linear(2, 1, device="meta")])

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"lr": -1.0}, "lr is out of range. It takes a number from 0 on, such as 3e-4; got -1.0."),
            (
                {"betas": (0.9, 1.0)},
                "betas is out of range. It takes two in [0, 1), such as (0.9, 0.999); got (0.9, 1.0).",
            ),
            ({"eps": 0.0}, "eps is out of range. It takes a number above 0, such as 1e-5; got 0.0."),
            (
                {"max_grad_norm": 0.0},
                "max_grad_norm is out of range. It takes a number above 0, such as 0.5, or None; got 0.0.",
            ),
        ],
    )
    def test_numbers_out_of_range(self, options, text):
        with pytest.raises(UsageError) as error:
            FlatAdam(nn.Linear(2, 1), **({"lr": 0.1} | options))
        assert str(error.value) == f"FlatAdam cannot be built: {text}"
