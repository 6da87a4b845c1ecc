import pytest
import torch

from keywork._errors import ContractError, SpecError
from keywork.modules import DistributionalQValueActor, DistributionalQValueModule
from keywork.specs import Categorical, Composite, MultiDiscrete, OneHot, Unbounded

ATOMS = torch.tensor([-1.0, 0.0, 1.0])


def test_takes_the_action_of_the_highest_expectation():
    p = torch.tensor([[0.45, 0.1, 0.0], [0.0, 0.5, 1.0], [0.55, 0.4, 0.0]])
    # Expectations 0.1, 0.3 and 0; the likeliest return of the first action is the highest of all.
    module = DistributionalQValueModule("categorical", ATOMS)
    assert module(p.log())[0] == 1


@pytest.mark.parametrize("batch", [(), (7,), (2, 3)])
def test_is_brute_force_for_any_batch(batch):
    log_p = torch.randn(*batch, 3, 4).log_softmax(-2)
    expectation = (log_p.exp() * ATOMS.unsqueeze(-1)).sum(-2)
    action, same = DistributionalQValueModule(None, ATOMS, spec=OneHot(4))(log_p)
    assert torch.equal(action.argmax(-1), expectation.argmax(-1))
    assert same is log_p


def test_several_components_are_chosen_each_by_itself():
    log_p = torch.randn(7, 3, 5).log_softmax(-2)
    expectation = ATOMS @ log_p.exp()
    action, _ = DistributionalQValueModule(None, ATOMS, spec=MultiDiscrete([2, 3]))(log_p)
    assert torch.equal(action, torch.stack([expectation[:, :2].argmax(-1), expectation[:, 2:].argmax(-1)], -1))


def test_a_mask_is_honoured():
    log_p, mask = torch.randn(50, 3, 4).log_softmax(-2), torch.rand(50, 4) < 0.5
    mask[:, 0] = True
    action, _ = DistributionalQValueModule("categorical", ATOMS, action_mask_key="mask")(log_p, mask)
    assert mask.gather(-1, action.unsqueeze(-1)).all()


def test_keys_and_the_atoms_that_are_saved():
    module = DistributionalQValueModule("categorical", [-1.0, 1.0], ("a", "q"), out_keys=["move", "log_p"])
    assert (module.in_keys, module.out_keys) == ([("a", "q")], ["move", "log_p"])
    assert module.state_dict()["support"].tolist() == [-1.0, 1.0]


def test_half_precision_is_computed_in_it():
    log_p = torch.randn(5, 3, 4).log_softmax(-2).bfloat16()
    assert DistributionalQValueModule("categorical", ATOMS)(log_p)[0].shape == (5,)


def test_atoms_that_are_no_vector_are_refused():
    with pytest.raises(SpecError) as error:
        DistributionalQValueModule("categorical", torch.zeros(2, 3))
    assert str(error.value) == (
        "DistributionalQValueModule cannot be built: its atoms are no vector.\n"
        "  where: support\n"
        "  expected: the returns that are told apart, of shape [N]\n"
        "  got: float32[2, 3]\n"
        "  fix: support=torch.linspace(-10.0, 10.0, 51)"
    )


def test_another_number_of_atoms_is_refused():
    with pytest.raises(SpecError) as error:
        DistributionalQValueModule(None, ATOMS, spec=Categorical(4))(torch.zeros(5, 4, 3))
    assert str(error.value) == (
        "DistributionalQValueModule cannot choose: there are not as many probabilities as atoms.\n"
        "  where: 'action_value'\n"
        "  expected: log-probabilities (*B, 3, choices)\n"
        "  got: float32[5, 4, 3]\n"
        "  fix: nn.Unflatten(-1, (atoms, choices)) after the last layer of the network"
    )


def test_three_out_keys_are_refused():
    with pytest.raises(ContractError, match="name 2: the action, the log-probabilities"):
        DistributionalQValueModule("categorical", ATOMS, out_keys=["a", "b", "c"])


@pytest.mark.parametrize("dueling", [False, True])
def test_an_actor_fits_specs(dueling):
    seen = Composite(left=Unbounded((2,)), right=Unbounded((3,)), mask=Unbounded((4,)))
    actor = DistributionalQValueActor.from_spec(seen, OneHot(4), ATOMS, dueling=dueling, action_mask_key="mask")
    assert actor.in_keys == ["left", "right", "mask"]
    log_p, action = actor(torch.zeros(5, 2), torch.zeros(5, 3), torch.tensor([0, 0, 1, 0]).expand(5, 4))
    assert log_p.exp().sum(-2).allclose(torch.ones(5, 4)) and action[:, 2].all()


def test_an_actor_of_elements_does_not_fit_by_itself():
    with pytest.raises(SpecError, match="one action, Categorical or OneHot"):
        DistributionalQValueActor.from_spec(Unbounded((3,)), Categorical(4, shape=(2,)), ATOMS)
