from __future__ import annotations

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from keywork._errors import SpecError
from keywork.nets import ConvConfig, ConvNet


def test_it_is_the_sequence_of_the_same_layers():
    net = ConvNet(4)
    twin = nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1), nn.ReLU()
    )
    assert list(net.state_dict()) == list(twin.state_dict())
    twin.load_state_dict(net.state_dict())
    x = torch.rand(2, 4, 84, 84)
    assert torch.equal(net(x), twin(x).flatten(1))


@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 3), (2, 0, 3)])
def test_any_number_of_batch_dimensions(batch):
    net = ConvNet(1, [2, 3], 2, 1)
    x = torch.rand(*batch, 1, 4, 5)
    y = net(x)
    assert y.shape == (*batch, 3 * 2 * 3)  # 4 - 1 - 1 and 5 - 1 - 1 pixels are left
    if len(batch) == 2 and y.numel():
        torch.testing.assert_close(y[1, 2], net(x[1, 2]))


def test_bytes_are_scaled_and_nothing_else_is():
    net = ConvNet(1, [1], 1, 1, config=ConvConfig(bias=False), activation_class=nn.Identity)
    with torch.no_grad():
        net[0].weight.fill_(1.0)
    image = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
    assert net(image).tolist() == pytest.approx([0.0, 0.2, 1.0])  # 51 / 255
    assert net(image.float()).tolist() == net(image.long()).tolist() == [0.0, 51.0, 255.0]
    assert net(image == 51).tolist() == [0.0, 1.0, 0.0]
    plain = ConvNet(1, [1], 1, 1, config=ConvConfig(bias=False, scale_uint8=False), activation_class=nn.Identity)
    plain.load_state_dict(net.state_dict())
    assert plain(image).tolist() == [0.0, 51.0, 255.0]


def test_bytes_take_the_type_of_the_network():
    net = ConvNet(config=ConvConfig(dtype=torch.float64))
    assert net(torch.zeros(3, 84, 84, dtype=torch.uint8)).dtype == torch.float64


def test_channels_that_are_left_out_are_found_at_the_first_call():
    net = ConvNet(init="orthogonal")
    keys = list(net.state_dict())
    assert net(torch.zeros(2, 3, 84, 84)).shape == (2, 3136)
    assert type(net[0]) is nn.Conv2d and net[0].in_channels == 3 and list(net.state_dict()) == keys
    flat = net[0].weight.flatten(1)  # 32 rows of 3 * 8 * 8 numbers
    torch.testing.assert_close(flat @ flat.T, 2.0 * torch.eye(32), atol=1e-5, rtol=0)


def test_options():
    config = ConvConfig(norm_class=nn.BatchNorm2d, flatten=False, bias=False, dtype=torch.float64, gain=3.0)
    net = ConvNet(2, [4, 8], 3, strides=[1, 2], paddings=1, activation_class=nn.ELU, init="orthogonal", config=config)
    kinds = [type(layer).__name__ for layer in net]
    assert kinds == ["Conv2d", "BatchNorm2d", "ELU", "Conv2d", "BatchNorm2d", "ELU"]
    assert net[0].bias is None and net[0].weight.dtype == torch.float64
    assert net(torch.rand(3, 2, 6, 6, dtype=torch.float64)).shape == (3, 8, 3, 3)
    flat = net[0].weight.flatten(1)
    torch.testing.assert_close(flat @ flat.T, 9.0 * torch.eye(4).double())


def test_a_layer_norm_of_whole_images():
    net = ConvNet(config=ConvConfig(norm_class=partial(nn.GroupNorm, 1)), init="orthogonal")
    assert net(torch.rand(84 * 84).reshape(1, 84, 84)).isfinite().all()
    with pytest.raises(SpecError) as error:
        ConvNet(config=ConvConfig(norm_class=nn.LayerNorm))
    assert str(error.value) == (
        "ConvNet cannot be built: norm_class=nn.LayerNorm would normalise the rows of an image, and is made with its "
        "number of channels. Pass norm_class=partial(nn.GroupNorm, 1), which normalises all of an image."
    )


def test_the_size_of_the_output_is_known_where_that_of_the_image_is():
    net = ConvNet(config=ConvConfig(image_size=(84, 100)))
    # (84 - 8) // 4 + 1 = 20, (20 - 4) // 2 + 1 = 9, 9 - 3 + 1 = 7; (100 - 8) // 4 + 1 = 24, 11, 9
    assert net.output_shape(84, 100) == (64, 7, 9)
    assert net.out_features == 64 * 7 * 9 == net(torch.zeros(3, 84, 100)).shape[-1]
    assert ConvNet().out_features is None


@pytest.mark.parametrize(("kernels", "strides", "paddings"), [((8, 4, 3), (4, 2, 1), 0), ((3, 3), 2, 1), ((5,), 3, 2)])
def test_the_smallest_image_is_the_smallest(kernels, strides, paddings):
    net = ConvNet(1, [2] * len(kernels), kernels, strides, paddings)
    least = net._least
    assert net(torch.zeros(1, least, least)).numel() == 2
    if least > 1:
        with pytest.raises(RuntimeError):
            nn.Sequential(*net)(torch.zeros(1, 1, least - 1, least))


SMALL = (
    "ConvNet cannot take images of 35 x 84: layer 2 (kernel 3, stride 1, padding 0) gets 2 x 9, and less than one "
    "pixel would come out. The smallest images for these layers are 36 x 36: give kernel_sizes and strides for smaller "
    "ones, such as kernel_sizes=3, strides=2, paddings=1."
)


def test_images_that_are_too_small_are_refused_when_it_is_built_and_when_it_is_called():
    with pytest.raises(SpecError) as error:
        ConvNet(config=ConvConfig(image_size=(35, 84)))
    assert str(error.value) == SMALL
    with pytest.raises(SpecError) as error:
        ConvNet()(torch.zeros(2, 3, 35, 84))
    assert str(error.value) == SMALL


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (84, 84),
            "ConvNet cannot take float32[84, 84]: it takes images [*B, 3, H, W]. Pass ConvNet(in_channels=...).",
        ),
        (
            (2, 84, 84, 3),
            "ConvNet cannot take float32[2, 84, 84, 3]: it takes images [*B, 3, H, W]. Channels come first: pass "
            "images.movedim(-1, -3).",
        ),
        (
            (2, 84, 84, 1),
            "ConvNet cannot take float32[2, 84, 84, 1]: it takes images [*B, 3, H, W]. Channels come first: pass "
            "images.movedim(-1, -3) to ConvNet(in_channels=1).",
        ),
        (
            (2, 4, 84, 84),
            "ConvNet cannot take float32[2, 4, 84, 84]: it takes images [*B, 3, H, W]. Pass ConvNet(in_channels=4).",
        ),
    ],
)
def test_what_are_no_such_images(shape, message):
    with pytest.raises(SpecError) as error:
        ConvNet(3)(torch.zeros(shape))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_cells": [8, 8]}, "there are 2 num_cells, 3 kernel_sizes, 3 strides. Give as many of each"),
        ({"num_cells": [], "kernel_sizes": 3, "strides": 1}, "there are 0 num_cells"),
        ({"kernel_sizes": [8, 0, 3]}, "kernel_sizes has [8, 0, 3], and each must be a whole number from 1 on"),
        ({"paddings": -1}, "paddings has [-1, -1, -1], and each must be a whole number from 0 on"),
        ({"in_channels": 0}, "in_channels has [0]"),
        ({"init": "ortho"}, "there is no init='ortho'. Pass init='torch' or init='orthogonal'."),
        ({"config": ConvConfig(image_size=(0, 84))}, "image_size has [0, 84]"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(SpecError) as error:
        ConvNet(**arguments)
    assert str(error.value).startswith(f"ConvNet cannot be built: {message}")


def test_slices_copies_compilation_and_vmap():
    net, x = ConvNet(1, [2, 2], 2, 1), torch.rand(3, 1, 5, 5)
    assert isinstance(net[:2], nn.Sequential) and isinstance(net[-1], nn.ReLU)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(x), net(x))
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled((x * 255).byte()), net((x * 255).byte()))
    torch.testing.assert_close(torch.vmap(net)(x), net(x))
