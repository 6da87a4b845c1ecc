from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keywork.modules import EnsembleModule, Features, ValueOperator
from keywork.nets import MLP, Chain, ConvConfig, ConvNet
from keywork.specs import Binary, Bounded, Categorical, MultiDiscrete, OneHot, Unbounded


def test_by_hand():
    features = Features([Unbounded((2, 2)), Categorical(3), Binary(2), Bounded(0, 1, ())])
    values = [
        torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]),
        torch.tensor([2]),
        torch.tensor([[1, 0]], dtype=torch.int8),
        torch.tensor([0.5]),
    ]
    assert features(*values).tolist() == [[1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.5]]
    assert features.size == 10


def test_indices_are_one_hot_in_every_form():
    features = Features([Categorical(3, shape=(2,)), OneHot(2), MultiDiscrete([2, 3]), MultiDiscrete([[2], [2]])])
    got = features(
        torch.tensor([[1, 0]], dtype=torch.int32),
        torch.tensor([[0, 1]]),
        torch.tensor([[1, 2]], dtype=torch.uint8),
        torch.tensor([[[0], [1]]]),
    )
    assert got.tolist() == [[0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1]]
    assert features.size == 6 + 2 + 5 + 4


def test_an_index_that_is_none_is_refused():
    with pytest.raises(RuntimeError, match="must be smaller than num_classes"):
        Features([Categorical(3)])(torch.tensor([3]))


@pytest.mark.parametrize("batch", [(), (4,), (4, 5), (0,)])
def test_any_batch(batch):
    specs = [Unbounded((2, 3)), Categorical(4), MultiDiscrete([2, 3]), Bounded(0, 255, (1, 6, 6), torch.uint8)]
    features = Features(specs)
    made = features(*[spec.rand(batch) for spec in specs])
    assert made.shape == (*batch, features.size)


def test_all_take_the_type_of_the_module():
    specs = [Unbounded((2,), dtype=torch.float64), Categorical(2), Bounded(0, 255, (1, 6, 6), torch.uint8)]
    features = Features(specs)
    values = [spec.rand((3,)) for spec in specs]
    assert features(*values).dtype == torch.float32
    assert features.to(torch.float64)(*values).dtype == torch.float64
    assert all("images.2.network" in key for key in features.state_dict())


@pytest.mark.parametrize(
    ("shape", "network", "channels"),
    [((84, 84, 3), 3, 3), ((4, 84, 84), 3, 4), ((7, 7, 3), 2, 3), ((36, 40, 1), 3, 1), ((1, 1, 1), 2, 1)],
)
def test_images_go_through_a_network_that_fits(shape, network, channels):
    features = Features([Bounded(0, 255, shape, torch.uint8)])
    convs = [layer for layer in features.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert (len(convs), convs[0].in_channels) == (network, channels)
    image = torch.randint(256, (2, *shape), dtype=torch.uint8)
    assert features(image).shape == (2, features.size)
    front = image.movedim(-1, -3) if shape[-1] < min(shape[:2]) else image
    assert torch.equal(features(image), features.images["0"].network(front))


def test_a_network_of_ones_own():
    def mine(channels, size):
        return ConvNet(channels, [2], 2, 1, config=ConvConfig(image_size=size))

    spec = Bounded(0, 255, (3, 8, 9), torch.uint8)
    assert Features([spec], image_network=mine).size == 2 * 7 * 8
    # Bytes of other dimensions are numbers.
    assert (
        Features([Bounded(0, 255, (4, 4), torch.uint8)])(torch.full((4, 4), 7, dtype=torch.uint8)).tolist()
        == [7.0] * 16
    )


def test_several_critics_of_observations_of_all_kinds():
    specs = {"a": Categorical(3), "b": MultiDiscrete([2, 3]), "c": Bounded(0, 255, (1, 6, 6), torch.uint8)}
    features = Features(list(specs.values()))
    critic = ValueOperator(Chain(features, MLP(features.size, 1)), list(specs))
    ensemble = EnsembleModule(critic, 6, vectorize=True)
    values = ensemble(*[spec.rand((4,)) for spec in specs.values()])
    assert values.shape == (4, 6, 1)
    assert not torch.isclose(values[:, 0], values[:, 1]).any()


LEAVES = st.one_of(
    st.integers(1, 4).map(Categorical),
    st.integers(1, 4).map(OneHot),
    st.lists(st.integers(1, 4), min_size=1, max_size=3).map(MultiDiscrete),
    st.integers(1, 4).map(Binary),
    st.lists(st.integers(1, 3), max_size=3).map(Unbounded),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(LEAVES, min_size=1, max_size=4), st.lists(st.integers(0, 3), max_size=2))
def test_the_size_is_that_of_the_vector(specs, batch):
    features = Features(specs)
    made = features(*[spec.rand(batch) for spec in specs])
    assert made.shape == (*batch, features.size)
    assert made.dtype == torch.float32
