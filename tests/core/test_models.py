"""The network of Fig. 1: sizes of Tables 2 and 5, layers against dense matrices, constraints."""

import pytest
import torch

from forward_stability.errors import InputError
from forward_stability.layers import MaxMin, ResidualD
from forward_stability.models import VARIANTS, Network, project_

# Table 2: variant, m, depth, trainable parameters in thousands (the paper prints 1.100M for the
# last of ResNet-D, which counts 1,095,898).
TABLE_2 = [
    ("D", 3, 18, 223),
    ("D", 6, 36, 514),
    ("D", 9, 54, 805),
    ("D", 12, 72, 1096),
    ("S", 3, 11, 124),
    ("S", 6, 20, 270),
    ("S", 9, 29, 416),
    ("S", 12, 38, 561),
]

# Table 5: depth, parameters in millions.
TABLE_5 = [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)]


@pytest.mark.parametrize(("variant", "m", "depth", "thousands"), TABLE_2)
def test_depth_and_parameters_of_table_2(variant, m, depth, thousands):
    network = Network(variant, m)
    assert network.depth == depth
    assert round(network.parameter_count / 1000) == thousands
    on_cifar100 = Network(variant, m, classes=100).parameter_count
    weights = on_cifar100 - network.parameter_count - 90  # 90 biases
    assert weights == 5760


@pytest.mark.parametrize(("depth", "millions"), TABLE_5)
def test_parameters_of_table_5(depth, millions):
    network = Network("original", (depth - 2) // 6)
    assert network.depth == depth
    # The paper cuts 0.464 M and 0.659 M after two digits in one case and rounds in the other.
    assert network.parameter_count / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(32, 32), (17, 23), (7, 5), (2, 3)])
def test_sizes_of_all_features(variant, size):
    torch.manual_seed(2)
    m, (h, w) = 2, size
    network = Network(variant, m, width=4, channels=2, classes=7).eval()
    images = torch.rand(3, 2, h, w)
    network.get_buffer("mean").copy_(torch.tensor([0.25, 0.5]).view(2, 1, 1))
    x = network.features(images)
    assert torch.equal(x[0], images - torch.tensor([0.25, 0.5]).view(2, 1, 1))
    assert len(x) == 3 * m + 4
    sizes = [(4, h, w), (8, -(-h // 2), -(-w // 2)), (16, -(-h // 4), -(-w // 4))]
    shapes = [(2, h, w), *[sizes[0]] * (m + 1), *[sizes[1]] * m, *[sizes[2]] * m, (16,), (7,)]
    assert [tuple(f.shape[1:]) for f in x] == shapes
    assert torch.equal(x[-1], network(images))
    assert not torch.equal(x[-1], network(images.flip(0)))


def test_projection_makes_K2_nonnegative_and_touches_nothing_else():
    network = Network("D", 2, width=3)
    assert all((la.conv2.weight >= 0).all() for la in network.layers if isinstance(la, ResidualD))
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn_like(p))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    project_(network)
    for name, value in network.state_dict().items():
        expected = before[name].clamp(min=0) if "conv2" in name else before[name]
        assert torch.equal(value, expected), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "X"}, "unknown variant 'X'"),
        ({"blocks": 0}, "blocks must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"classes": -1}, "classes must be at least 1"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Network(**arguments)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32)])
def test_images_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(InputError, match=r"images must have the shape \(batch, 3, height, width\)"):
        Network()(torch.rand(shape))


def test_layers_of_ones_own_stand_in_place_of_the_residual_layers():
    widths = []

    def residual(width):
        widths.append(width)
        return [torch.nn.Identity(), MaxMin(width)]

    network = Network("S", 2, 4, batch_norm=False, residual=residual)
    kinds = [type(layer).__name__ for layer in network.layers]
    pair = ["Identity", "MaxMin"]
    assert widths == [4, 4, 8, 16]
    assert kinds[:-2] == ["Convolution", *pair, *pair, "Pooling", *pair, "Pooling", *pair]
    assert network(torch.rand(2, 3, 8, 8)).shape == (2, 10)
    with pytest.raises(InputError, match="residual and maxmin exclude each other"):
        Network("S", 2, 4, batch_norm=False, residual=residual, maxmin=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "original", "batch_norm": False}, "with batch normalisation only"),
        ({"variant": "D", "outer_relu": False}, "variant S only"),
        (
            {"variant": "D", "maxmin": True},
            "residual and maxmin are for variant S without batch normalisation",
        ),
    ],
)
def test_networks_that_are_not_there_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Network(**options)
