from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from keywork._errors import SpecError
from keywork.distributions import AddStateIndependentNormalScale


def test_by_hand():
    # "exp" makes θ the logarithm: e^0 = 1, and e^-0.7 = 0.496585.
    loc = torch.randn(4, 3)
    same, scale, other = AddStateIndependentNormalScale(3)(loc, "passed on")
    assert same is loc and other == "passed on"
    assert torch.equal(scale, torch.ones(4, 3))
    _, scale = AddStateIndependentNormalScale(3, init_value=-0.7)(loc)
    assert scale[0].tolist() == pytest.approx([0.496585] * 3, abs=1e-6)
    _, scale = AddStateIndependentNormalScale((3,), "softplus")(loc)
    assert scale[0, 0].item() == pytest.approx(math.log(2.0))


def test_every_dimension_has_its_own_and_every_state_the_same():
    module = AddStateIndependentNormalScale((2, 3))
    with torch.no_grad():
        module.state_independent_scale.copy_(torch.arange(6.0).view(2, 3))
    _, scale = module(torch.randn(5, 4, 2, 3))
    assert scale.shape == (5, 4, 2, 3)
    assert torch.equal(scale, torch.arange(6.0).view(2, 3).exp().expand(5, 4, 2, 3))


def test_one_for_all_dimensions():
    _, scale = AddStateIndependentNormalScale(init_value=1.0)(torch.zeros(4, 2))
    assert torch.equal(scale, torch.full((4, 2), math.e))


def test_the_gradient_is_the_sum_over_the_states():
    module = AddStateIndependentNormalScale(2)
    module(torch.zeros(5, 2))[1].sum().backward()
    assert module.state_independent_scale.grad.tolist() == [5.0, 5.0]  # 5 states, d exp(θ) / dθ = 1 at 0


def test_below_the_lower_bound_it_can_still_grow():
    """A plain clamp has no gradient there: the scale would be held for ever."""
    module = AddStateIndependentNormalScale(1, init_value=-20.0, scale_lb=1e-3)
    (scale,) = module(torch.zeros(1))[1:]
    assert scale.item() == pytest.approx(1e-3)
    scale.sum().backward()
    assert module.state_independent_scale.grad.item() == pytest.approx(math.exp(-20.0))


def test_as_a_buffer_it_is_saved_and_not_learned():
    module = AddStateIndependentNormalScale(2, make_param=False, init_value=0.5)
    assert not list(module.parameters())
    other = AddStateIndependentNormalScale(2, make_param=False)
    other.load_state_dict(module.state_dict())
    assert torch.equal(*(one(torch.zeros(2))[1] for one in (module, other)))
    assert [*AddStateIndependentNormalScale(2).state_dict()] == [*module.state_dict()] == ["state_independent_scale"]


def test_it_is_made_where_it_is_asked_for():
    assert AddStateIndependentNormalScale(2, device="meta").state_independent_scale.is_meta


@pytest.mark.parametrize(("shape", "loc"), [(3, (4, 2)), (1, (4, 2)), ((4, 2), (2,)), (2, ())])
def test_another_shape_is_refused_and_not_broadcast(shape, loc):
    with pytest.raises(SpecError) as error:
        AddStateIndependentNormalScale(shape)(torch.zeros(loc))
    learned = [shape] if isinstance(shape, int) else list(shape)
    assert str(error.value) == (
        f"AddStateIndependentNormalScale cannot give loc of shape {list(loc)} a scale: it learns one of shape "
        f"{learned}, which has to be that of loc's last dimensions. "
        "Pass scale_shape=, the shape of one action, or leave it out for one scale of all dimensions."
    )


def test_an_unknown_mapping_is_refused():
    with pytest.raises(SpecError, match="there is no scale mapping 'cube'"):
        AddStateIndependentNormalScale(2, "cube")


def test_it_compiles_maps_and_copies():
    net = nn.Sequential(nn.Linear(3, 2))
    module, x = AddStateIndependentNormalScale(2, init_value=0.3), torch.randn(5, 3)

    def call(x):
        return module(net(x))

    torch._dynamo.reset()
    for other in (torch.compile(call, fullgraph=True, backend="eager"), torch.vmap(call)):
        torch.testing.assert_close(other(x), call(x))
    other = copy.deepcopy(module)
    assert other.state_independent_scale is not module.state_independent_scale
    assert torch.equal(other(x[:, :2])[1], module(x[:, :2])[1])
