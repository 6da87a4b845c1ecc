import copy

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from keywork._errors import MissingKeyError, SpecError, UsageError
from keywork.collectors import Collector
from keywork.envs import GymEnv
from keywork.modules import EGreedyModule, QValueActor
from keywork.nn import TensorDictSequential, set_exploration_type
from keywork.specs import Categorical, MultiBinary, MultiDiscrete, OneHot

N = 20_000
OFF = ["deterministic", "mode", "mean"]


def always(spec, **options):
    return EGreedyModule(spec, eps_init=1.0, eps_end=1.0, **options)


def indices(choice: int, count: int = N) -> torch.Tensor:
    return torch.full((count,), choice)


class TestFrequencies:
    def test_of_an_index(self, chi_square):
        explored = EGreedyModule(Categorical(4), eps_init=0.4)(indices(2))
        # The action stays with 0.6, and is drawn with 0.4 / 4 besides.
        assert chi_square(explored, [0.1, 0.1, 0.7, 0.1]) < 1

    def test_of_a_vector(self, chi_square):
        action = nn.functional.one_hot(indices(2), 4)
        explored = EGreedyModule(OneHot(4), eps_init=0.4)(action)
        assert (explored.sum(-1) == 1).all()
        assert chi_square(explored.argmax(-1), [0.1, 0.1, 0.7, 0.1]) < 1

    def test_of_several_components_with_one_coin_for_all(self, chi_square):
        explored = EGreedyModule(MultiDiscrete([2, 5]), eps_init=0.5)(torch.zeros(N, 2, dtype=torch.int64))
        # (0, 0) stays with 0.5; each of ten combinations is drawn with 0.05. Coins for each component would leave
        # (0, 0) with (0.5 + 0.25)(0.5 + 0.1) = 0.45, not 0.55.
        assert chi_square(explored[:, 0] * 5 + explored[:, 1], [0.55] + [0.05] * 9) < 1

    def test_of_bits(self, chi_square):
        explored = EGreedyModule(MultiBinary(2), eps_init=0.4)(torch.ones(N, 2, dtype=torch.int8))
        assert chi_square(explored[:, 0] * 2 + explored[:, 1], [0.1, 0.1, 0.1, 0.7]) < 1

    def test_elements_of_the_batch_have_coins_of_their_own(self, chi_square):
        explored = EGreedyModule(OneHot(2), eps_init=0.5)(torch.tensor([1, 0]).expand(N // 2, 2, 2)).argmax(-1)
        assert chi_square(explored[:, 0] * 2 + explored[:, 1], [0.5625, 0.1875, 0.1875, 0.0625]) < 1

    @pytest.mark.parametrize("batch", [(), (3,), (3, 4)])
    def test_any_batch_will_do(self, batch):
        for spec in (Categorical(4), OneHot(4), MultiDiscrete([2, 5]), MultiBinary(3)):
            assert spec.is_in(always(spec)(spec.zero(batch)))


class TestMasks:
    def test_a_random_action_is_an_allowed_one(self, chi_square):
        mask = torch.tensor([False, True, False, True]).expand(N, 4)
        explored = always(Categorical(4), action_mask_key="mask")(indices(1), mask)
        assert chi_square(explored, [0.0, 0.5, 0.0, 0.5]) < 1

    def test_each_row_has_its_own(self):
        mask = torch.rand(N, 4) < 0.4
        mask[torch.arange(N), torch.randint(4, (N,))] = True
        explored = always(OneHot(4), action_mask_key="mask")(torch.zeros(N, 4, dtype=torch.bool), mask)
        assert explored.dtype is torch.bool
        assert (explored.sum(-1) == 1).all()
        assert not (explored & ~mask).any()

    def test_each_component_has_its_own(self):
        mask = torch.tensor([True, False, False, True, False, True, True]).expand(N, 7)
        explored = always(MultiDiscrete([2, 5]), action_mask_key="mask")(torch.zeros(N, 2, dtype=torch.int64), mask)
        assert (explored[:, 0] == 0).all()
        assert set(explored[:, 1].tolist()) == {1, 3, 4}

    def test_a_row_that_allows_nothing_is_named(self):
        mask = torch.ones(8, 4, dtype=torch.bool)
        mask[5] = False
        with pytest.raises(SpecError, match=r"EGreedyModule cannot choose .* the action mask of row \[5\] allows none"):
            always(Categorical(4), action_mask_key="mask")(indices(0, 8), mask)

    def test_a_mask_that_is_absent_allows_everything(self, chi_square):
        explore = always(Categorical(4), action_mask_key="mask")
        assert (explore.contract.reads, explore.contract.optional) == (("action",), ("mask",))
        td = explore(TensorDict(action=indices(0), batch_size=[N]))
        assert chi_square(td["action"], [0.25] * 4) < 1

    def test_a_mask_of_another_number_of_choices_is_refused(self):
        with pytest.raises(SpecError, match=r"a flag for each choice, of shape \[8, 4\]"):
            always(Categorical(4), action_mask_key="mask")(indices(0, 8), torch.ones(8, 5, dtype=torch.bool))

    def test_the_spec_stays_as_it_was(self):
        spec = OneHot(4)
        explore = always(spec, action_mask_key="mask")
        mask = torch.tensor([True, False, False, False]).expand(8, 4)
        explore(torch.zeros(8, 4), mask)
        assert explore.spec is spec
        assert spec == OneHot(4)
        assert spec.rand((500,)).any(0).all()


class TestExplorationTypes:
    @pytest.mark.parametrize("kind", OFF)
    def test_off_the_action_passes_through_and_nothing_is_drawn(self, kind):
        explore, action = always(Categorical(4)), indices(2)
        before = torch.get_rng_state()
        with set_exploration_type(kind):
            assert explore.compute(action)[0] is action
        assert torch.equal(torch.get_rng_state(), before)

    def test_on_by_default_whatever_the_mode_of_training(self):
        assert (always(Categorical(4)).eval()(indices(2)) != 2).any()


class TestChosenValue:
    def test_can_be_kept_true(self):
        values = torch.randn(N, 4)
        actor = QValueActor(nn.Identity(), in_keys=["values"], spec=Categorical(4))
        explore = EGreedyModule(Categorical(4), eps_init=0.5, action_value_key="action_value")
        td = TensorDictSequential(actor, explore)(TensorDict(values=values, batch_size=[N]))
        changed = td["action"] != values.argmax(-1)
        assert 0.3 < changed.float().mean() < 0.45
        assert torch.equal(td["chosen_action_value"], values.gather(-1, td["action"].unsqueeze(-1)))

    @pytest.mark.parametrize("spec", [OneHot(4), MultiDiscrete([2, 2]), MultiBinary(4)])
    def test_of_every_form(self, spec):
        values = torch.randn(50, 4)
        actor = QValueActor(nn.Identity(), in_keys=["values"], spec=spec)
        explore = EGreedyModule(spec, eps_init=0.5, action_value_key="action_value", chosen_action_value_key="chosen")
        actor[-1].out_keys = ["action", "action_value", "chosen"]
        td = TensorDictSequential(actor[0], actor[-1], explore)(TensorDict(values=values, batch_size=[50]))
        ones = nn.functional.one_hot(td["action"], 2).flatten(-2) if isinstance(spec, MultiDiscrete) else td["action"]
        torch.testing.assert_close(td["chosen"], (values * ones).sum(-1, keepdim=True))

    def test_off_it_passes_through_too(self):
        explore = EGreedyModule(Categorical(4), action_value_key="action_value")
        action, chosen = indices(2, 3), torch.zeros(3, 1)
        with set_exploration_type("mode"):
            assert explore.compute(action, chosen, torch.randn(3, 4)) == (action, chosen)


class TestKeysAndForms:
    def test_nested_keys(self):
        key, mask = ("agents", "left", "move"), ("agents", "left", "mask")
        explore = always(Categorical(3), action_key=key, action_mask_key=mask)
        assert (explore.in_keys, explore.out_keys) == ([key, mask], [key])
        td = TensorDict({key: indices(0, 5), mask: torch.tensor([[False, False, True]] * 5)}, batch_size=[5])
        assert explore(td)[key].tolist() == [2] * 5

    @pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.bfloat16, torch.int64])
    def test_the_action_keeps_its_type(self, dtype):
        assert always(OneHot(4))(torch.zeros(5, 4, dtype=dtype)).dtype is dtype

    def test_a_narrow_index_keeps_its_type(self):
        assert always(Categorical(4))(torch.zeros(5, dtype=torch.int16)).dtype is torch.int16
        assert always(MultiDiscrete([2, 3]))(torch.zeros(5, 2, dtype=torch.int32)).dtype is torch.int32

    def test_an_action_of_another_shape_is_refused(self):
        with pytest.raises(SpecError, match=r"expected: the last dimensions \[4\]"):
            always(OneHot(4))(indices(0, 5))

    def test_a_missing_action_is_named(self):
        with pytest.raises(MissingKeyError) as error:
            always(Categorical(4))(TensorDict(actions=indices(0, 5), batch_size=[5]))
        assert str(error.value) == (
            "EGreedyModule cannot run: it reads 'action', which the TensorDict does not hold.\n"
            "   the TensorDict holds: 'actions'\n"
            "   did you mean 'actions'? Store the entry under 'action', or let another be read: "
            "renamed({'action': ...})."
        )

    def test_probabilities_out_of_range_are_refused(self):
        with pytest.raises(UsageError, match="expected: a number from 0 to 1"):
            EGreedyModule(Categorical(4), eps_init=2.0)
        with pytest.raises(UsageError, match="eps_end lies above eps_init"):
            EGreedyModule(Categorical(4), eps_init=0.1, eps_end=0.5)


class TestAnnealing:
    def test_eps_goes_down_with_the_frames(self):
        explore = EGreedyModule(Categorical(4), eps_init=1.0, eps_end=0.1, annealing_num_steps=900)
        explore.step(300)
        assert explore.eps.item() == pytest.approx(0.7)  # 1 - 300 * 0.9 / 900
        explore.step(100_000)
        assert explore.eps.item() == pytest.approx(0.1)

    def test_is_saved_and_resumed(self):
        explore, resumed = EGreedyModule(Categorical(4)), EGreedyModule(Categorical(4))
        explore.step(250)
        resumed.load_state_dict(explore.state_dict())
        explore.step(100)
        resumed.step(100)
        assert resumed.eps == explore.eps
        assert resumed.eps.item() == pytest.approx(0.685)  # 1 - 350 * 0.0009

    def test_a_copy_explores_for_itself(self):
        explore = EGreedyModule(Categorical(4))
        copy.deepcopy(explore).step(1000)
        assert explore.eps == 1.0

    def test_compiled_code_follows_it(self):
        explore = EGreedyModule(Categorical(4), eps_init=1.0, eps_end=0.0, annealing_num_steps=10)
        compiled = torch.compile(explore.compute, fullgraph=True, backend="eager")
        assert (compiled(indices(2))[0] != 2).any()
        explore.step(10)
        assert (compiled(indices(2))[0] == 2).all()


class TestInACollector:
    def test_a_policy_explores_and_is_greedy_where_it_does_not(self, chi_square):
        net = nn.Linear(4, 2)
        with GymEnv("CartPole-v1", num_envs=8, seed=0) as env:
            actor = QValueActor(net, spec=env.action_spec)
            policy = TensorDictSequential(actor, EGreedyModule(action_space=env.action_spec, eps_init=0.5, eps_end=0.5))
            batch = Collector(env, policy, frames_per_batch=2400).collect()
            greedy = Collector(env, policy, frames_per_batch=80, exploration_type="deterministic").collect()
        assert batch["chosen_action_value"].shape == (8, 300, 1)
        off = (batch["action"] != net(batch["observation"]).argmax(-1)).long()
        assert chi_square(off, [0.75, 0.25]) < 1  # the greedy action is one of the two that are drawn
        assert torch.equal(greedy["action"], net(greedy["observation"]).argmax(-1))
