import pytest
import torch

from keywork._errors import ContractError, SpecError
from keywork.modules import QuantileQValueActor, QuantileQValueModule
from keywork.nn import TensorDictModule
from keywork.specs import Categorical, Composite, MultiDiscrete, OneHot, Unbounded


def test_takes_the_action_of_the_highest_mean():
    # Means 1, 2 and 1.5; the third has the highest quantile and the first the highest lowest one.
    quantiles = torch.tensor([[1.0, 0.0, -9.0], [1.0, 2.0, 0.0], [1.0, 4.0, 13.5]])
    assert QuantileQValueModule("categorical", 3)(quantiles)[0] == 1


@pytest.mark.parametrize("batch", [(), (7,), (2, 3)])
def test_is_brute_force_for_any_batch(batch):
    quantiles = torch.randn(*batch, 5, 4)
    action, same = QuantileQValueModule(None, 5, spec=OneHot(4))(quantiles)
    assert torch.equal(action.argmax(-1), (quantiles.sum(-2) / 5).argmax(-1))
    assert same is quantiles


def test_several_components_are_chosen_each_by_itself():
    quantiles = torch.randn(7, 3, 5)
    action, _ = QuantileQValueModule(None, 3, spec=MultiDiscrete([2, 3]))(quantiles)
    mean = quantiles.mean(-2)
    assert torch.equal(action, torch.stack([mean[:, :2].argmax(-1), mean[:, 2:].argmax(-1)], -1))


def test_a_mask_is_honoured():
    quantiles, mask = torch.randn(50, 3, 4), torch.rand(50, 4) < 0.5
    mask[:, 0] = True
    action, _ = QuantileQValueModule("categorical", 3, action_mask_key="mask")(quantiles, mask)
    assert mask.gather(-1, action.unsqueeze(-1)).all()


def test_keys():
    module = QuantileQValueModule("categorical", 2, ("a", "q"), out_keys=["move", "theta"])
    assert (module.in_keys, module.out_keys) == ([("a", "q")], ["move", "theta"])
    with pytest.raises(ContractError, match="name 2: the action, the quantiles"):
        QuantileQValueModule("categorical", 2, out_keys=["a", "b", "c"])


@pytest.mark.parametrize("count", [None, 0, 2.5])
def test_no_number_of_quantiles_is_refused(count):
    with pytest.raises(SpecError) as error:
        QuantileQValueModule("categorical", count)
    assert str(error.value) == (
        "QuantileQValueModule cannot be built: nobody has said how many quantiles there are.\n"
        "  where: num_quantiles\n"
        "  expected: a whole number, 1 or more\n"
        f"  got: {count!r}\n"
        "  fix: num_quantiles=200"
    )


def test_another_number_of_quantiles_is_refused():
    with pytest.raises(SpecError) as error:
        QuantileQValueModule(None, 3, spec=Categorical(4))(torch.zeros(5, 4, 3))
    assert str(error.value) == (
        "QuantileQValueModule cannot choose: there is another number of quantiles.\n"
        "  where: 'action_value'\n"
        "  expected: quantiles (*B, 3, choices)\n"
        "  got: float32[5, 4, 3]\n"
        "  fix: nn.Unflatten(-1, (num_quantiles, choices)) after the last layer of the network"
    )


@pytest.mark.parametrize("dueling", [False, True])
def test_an_actor_fits_specs(dueling):
    seen = Composite(left=Unbounded((2,)), right=Unbounded((3,)), mask=Unbounded((4,)))
    actor = QuantileQValueActor.from_spec(seen, OneHot(4), 6, dueling=dueling, action_mask_key="mask")
    assert actor.in_keys == ["left", "right", "mask"]
    quantiles, action = actor(torch.zeros(5, 2), torch.zeros(5, 3), torch.tensor([0, 0, 1, 0]).expand(5, 4))
    assert quantiles.shape == (5, 6, 4) and action[:, 2].all()


def test_an_actor_of_several_choices_does_not_fit_by_itself():
    with pytest.raises(SpecError, match="one action, Categorical or OneHot"):
        QuantileQValueActor.from_spec(Unbounded((3,)), MultiDiscrete([2, 3]), 6)


def test_a_network_that_writes_something_else_is_refused():
    with pytest.raises(ContractError, match="read from 'action_value', which the module does not write"):
        QuantileQValueActor(TensorDictModule(torch.nn.Linear(3, 6), ["x"], ["y"]), 3, spec=Categorical(2))
