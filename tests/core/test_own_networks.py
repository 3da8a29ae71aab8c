"""Networks that we did not write: against dense matrices, Jacobians, pairs and exact counts."""

import itertools
from math import ceil, prod, sqrt

import pytest
import torch
import torch.nn.functional as F
from builders import barely_above, dense
from torch import nn

from forward_stability import certified_radii, certifier, certify, constrain, fold, norm_ball
from forward_stability.certificates import certify_layers
from forward_stability.constraint import sensitivity
from forward_stability.errors import InputError
from forward_stability.folding import FoldedConv, forward, with_error
from forward_stability.geometry import Geometry, conv_geometry, square
from forward_stability.layers import (
    Bias,
    Classifier,
    Convolution,
    GlobalPooling,
    PeriodicConv2d,
    Pooling,
    Residual,
    ResidualS,
)
from forward_stability.models import Network
from forward_stability.spectral import proven_norm, trained_weight


class Block(nn.Module):
    """A residual block as others write it: in place, with a shortcut of its own."""

    def __init__(self, into: int, out: int, stride: int = 1, mode: str = "zeros") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False, padding_mode=mode)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False, padding_mode=mode)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        plain = into == out and stride == 1
        self.shortcut = nn.Identity() if plain else nn.Conv2d(into, out, 1, stride)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return self.relu(out)


class Small(nn.Module):
    """A ResNet of another hand."""

    def __init__(self, mode: str = "zeros", width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, padding_mode=mode), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.stages = nn.Sequential(
            nn.Sequential(Block(width, width, mode=mode)),
            nn.Sequential(Block(width, 2 * width, 2, mode), Block(2 * width, 2 * width, mode=mode)),
        )
        self.pool, self.drop = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.3)
        self.fc = nn.Linear(2 * width, 5)

    def forward(self, x):
        x = self.stages(self.stem(x))
        return self.fc(self.drop(torch.flatten(self.pool(x), 1)))


class Function(nn.Module):
    """A module whose forward is a function of itself and x."""

    def __init__(self, function, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        return self.function(self, x)


def lived(module: nn.Module) -> nn.Module:
    """With running statistics and scales as after a training."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    return module.eval()


def conv(into=3, out=4, n=3, **options) -> nn.Conv2d:
    return nn.Conv2d(into, out, n, **options)


@torch.no_grad()
def check(module: nn.Module, *shape: int, pairs: int = 100) -> float:
    """The report's constant; folding changes nothing, and no pair and no Jacobian exceeds it."""
    module = module.double().eval()
    layers, report = fold(module), certify(module, shape[1:])
    x = torch.randn(pairs, *shape, dtype=torch.float64)
    y, error = with_error(layers, x, [r.best for r in report.layers])
    expected = module(x.clone())
    torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-11)
    assert bool((error < 1e-9 * (1 + y.flatten(1).norm(dim=1))).all())
    best = report["best"]
    z = x + torch.randn_like(x) * 10 ** (-4 * torch.rand(pairs, 1, 1, 1)).double()
    ratio = (module(z.clone()) - expected).flatten(1).norm(dim=1)
    ratio /= (z - x).flatten(1).norm(dim=1)
    assert float(ratio.max()) <= best.a <= report["sharpened"].a * (1 + 1e-9)
    assert float(y.flatten(1).norm(dim=1).max()) <= report["sharpened"].c + report[
        "sharpened"
    ].g * float(x.flatten(1).norm(dim=1).max())
    for point in x[:3]:
        with torch.enable_grad():
            J = torch.autograd.functional.jacobian(lambda v: module(v.clone()), point[None])
        J = J.reshape(expected[0].numel(), -1)
        assert float(torch.linalg.matrix_norm(J, 2)) <= best.a
    return best.a


def test_a_sequential_of_our_layers_gets_the_report_of_the_theorem():
    torch.manual_seed(0)
    module = nn.Sequential(Convolution(3, 8), ResidualS(8))
    report = certify(module, (32, 32))
    assert (report.network, report.theorem) == ("Sequential", "Theorem 6")
    assert [r.kind for r in report.layers] == ["convolution", "residual S"]
    nested = nn.Sequential(nn.Sequential(module[0]), nn.Sequential(nn.Identity(), module[1:]))
    assert certify(nested, (32, 32)) == report
    assert certify(module[0], (32, 32)).layers[0].norms == report.layers[0].norms


def test_our_network_as_a_sequential_has_the_same_constants():
    torch.manual_seed(1)
    network = Network("S", 1, 2)
    theirs = nn.Sequential(*network.layers)
    ours = certify(network, (8, 8))
    assert certify(theirs, (8, 8)).constants == ours.constants


MODELS = {
    "zero padding": lambda: Small(),
    "circular padding": lambda: Small("circular"),
    "batch norm before and behind ReLU": lambda: nn.Sequential(
        conv(), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), conv(4, 2), nn.BatchNorm2d(2)
    ),
    "batch norm first": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), conv()),
    "pre-activation": lambda: Function(
        lambda m, x: x + m.f2(F.relu(m.f1(torch.relu(m.bn(x))))),
        bn=nn.BatchNorm2d(3),
        f1=conv(3, 5, padding=1),
        f2=conv(5, 3, padding=1),
    ),
    "pools": lambda: nn.Sequential(
        nn.AvgPool2d(3, 2, 1), conv(3, 3, 2), nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(2), nn.ReLU()
    ),
    "perceptron": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 64, 9), nn.ReLU(inplace=True), nn.Linear(9, 4, bias=False)
    ),
    "nested sums": lambda: Function(
        lambda m, x: torch.add(x, (lambda y: (y + m.b(y)).add(m.c(y)))(m.a(x))),
        a=conv(3, 3, padding=1),
        b=nn.Sequential(conv(3, 3, padding="same"), nn.ReLU()),
        c=conv(3, 3, 1, padding="valid"),
    ),
    "twice the same": lambda: Function(lambda m, x: m.a(x + x), a=conv()),
    "batch norm on a value with two users": lambda: Function(
        lambda m, x: (lambda y: m.bn(y) + y)(m.a(x)), a=conv(), bn=nn.BatchNorm2d(4)
    ),
    "our parts": lambda: nn.Sequential(
        PeriodicConv2d(3, 4, stride=2), Bias(4), nn.ReLU(), Pooling(4), PeriodicConv2d(8, 2)
    ),
    "uneven": lambda: nn.Sequential(
        conv(3, 4, (2, 5), stride=(1, 2), padding=(1, 3)),
        conv(4, 2, (3, 1), padding=(1, 0), padding_mode="circular"),
        nn.AvgPool2d((2, 1), (1, 2)),
        nn.MaxPool2d((1, 2)),
    ),
}


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_pairs_and_jacobians_stay_below_the_constants(name):
    torch.manual_seed(2)
    for _ in range(3):
        assert check(lived(MODELS[name]()), 3, 8, 8, pairs=40) > 0
    if name not in ("perceptron",):
        check(lived(MODELS[name]()), 3, 9, 12, pairs=10)


def test_a_batch_normalisation_behind_a_convolution_becomes_part_of_it():
    torch.manual_seed(3)
    c, bn = conv(padding=1, padding_mode="circular"), nn.BatchNorm2d(4)
    module = lived(nn.Sequential(c, bn, nn.ReLU(), bn, nn.Conv2d(4, 4, 3), bn))
    kinds = [f.kind for f in fold(module)]
    assert kinds == ["convolution", "ReLU", "batch norm", "convolution"]
    assert isinstance(fold(module)[0], FoldedConv)
    scale = bn.weight.detach().double() / (bn.running_var.double() + bn.eps).sqrt()
    norm = certify(module, (6, 6)).layers[2].norms["A"]
    assert norm == pytest.approx(float(scale.abs().max()), rel=1e-14)


def random_geometry(random):
    """A convolution with zero padding and an image for it."""

    def integer(low, high):
        return int(torch.randint(low, high + 1, (), generator=random))

    n, m = integer(1, 5), integer(1, 5)
    if integer(0, 1):
        m = n
    stride = (integer(1, 3), integer(1, 3)) if integer(0, 1) else (integer(1, 3),) * 2
    padding = integer(0, n - 1), integer(0, m - 1)
    size = (
        integer(max(1, n - 2 * padding[0]), 9),
        integer(max(1, m - 2 * padding[1]), 9),
    )
    layer = nn.Conv2d(integer(1, 3), integer(1, 3), (n, m), stride, padding, bias=False)
    return layer.double(), size


@torch.no_grad()
def test_the_bound_of_zero_padding_against_dense_matrices():
    """300 convolutions: kernels of 1 to 5, strides of 1 to 3, any padding, images up to 9x9."""
    random, ratios, large = torch.Generator().manual_seed(4), [], []
    torch.manual_seed(4)
    for trial in range(300):
        layer, size = random_geometry(random)
        if trial % 3 == 0:
            layer.weight.abs_()  # the worst input is close to a constant
        (folded,) = fold(layer)
        report, _ = folded.bounds(size, "")
        A = dense(layer, layer.in_channels, *size)
        exact = float(torch.linalg.matrix_norm(A, 2))
        assert folded.output_size(size) == tuple(
            layer(torch.zeros(1, layer.in_channels, *size).double()).shape[2:]
        )
        assert exact <= report.best
        ratios.append(report.best / exact)
        large.append(min(size) > max(layer.kernel_size))
        if not report.bounds:
            assert ratios[-1] == pytest.approx(1, rel=1e-9)
    ratio = torch.tensor(ratios)
    print(f"zero padding: worst {ratio.max():.3f}, median {ratio.median():.4f}")
    ratio = ratio[torch.tensor(large)]
    print(f"images above the filter: worst {ratio.max():.3f}, median {ratio.median():.4f}")
    assert 1 < float(ratio.median()) < 1.1
    assert float(ratio.max()) < 1.6


@torch.no_grad()
def test_the_bound_of_zero_padding_is_tight_on_larger_images():
    torch.manual_seed(5)
    ratios = []
    for stride in (1, 2):
        for _ in range(5):
            layer = nn.Conv2d(2, 2, 3, stride, 1, bias=False).double()
            exact = float(torch.linalg.matrix_norm(dense(layer, 2, 16, 16), 2))
            ratios.append(certify(layer, (16, 16))["best"].a / exact)
    print(f"zero padding on 16x16: worst {max(ratios):.4f}")
    assert 1 <= min(ratios) <= max(ratios) < 1.05


def test_any_larger_torus_that_the_stride_divides_is_a_bound():
    torch.manual_seed(6)
    layer = nn.Conv2d(2, 2, 3, 2, 2, bias=False).double()
    exact = float(torch.linalg.matrix_norm(dense(layer, 2, 5, 6), 2).detach())
    assert conv_geometry(layer).torus((5, 6)) == (8, 8)
    for rows, columns in itertools.product((8, 10, 12), repeat=2):
        assert exact <= proven_norm(layer.weight.detach(), (rows, columns), 2)
    assert Geometry((2, 3), (0, 0), False).torus((5, 6)) == (6, 6)


@pytest.mark.parametrize("size", [(6, 6), (5, 7)])
@torch.no_grad()
def test_circular_convolutions_with_a_stride(size):
    torch.manual_seed(7)
    for n, stride in itertools.product((1, 3, 5), (1, 2, 3)):
        layer = conv(2, 3, n, stride=stride, padding=n // 2, padding_mode="circular", bias=False)
        layer.double()
        exact = float(torch.linalg.matrix_norm(dense(layer, 2, *size), 2))
        (report,) = certify(layer, size).layers
        assert exact <= report.best
        if size == (6, 6):
            assert report.best == pytest.approx(exact, rel=1e-9)
        if not report.bounds:
            assert report.best == pytest.approx(exact, rel=1e-9)


@torch.no_grad()
def test_constants_of_poolings_against_matrices_and_counts():
    for k, s, size in itertools.product((1, 2, 3, 4), (1, 2, 3), ((7, 7), (9, 8))):
        for p in range(k // 2 + 1):
            mean, largest = (
                nn.AvgPool2d(k, s, p),
                nn.MaxPool2d(k, s, p),
            )
            bound = certify_layers(fold(mean), size, channels=1).layers[0]
            matrix = dense(mean, 1, *size)
            assert float(torch.linalg.matrix_norm(matrix, 2)) <= bound.best
            assert bound.best == pytest.approx(ceil(k / s) / k, rel=1e-12)
            report = certify_layers(fold(largest), size, channels=1).layers[0]
            assert report.best == pytest.approx(ceil(k / s), rel=1e-12)
            # One bright pixel is the largest of all windows in which it lies.
            x = torch.eye(prod(size), dtype=torch.float64).reshape(-1, 1, *size)
            count = int((largest(x) == 1).sum((1, 2, 3)).max())
            assert sqrt(count) <= report.best
            if min(size) >= 2 * k:
                assert count == ceil(k / s) ** 2
    (report,) = certify_layers(fold(nn.AdaptiveAvgPool2d((1, 1))), (5, 7), channels=2).layers
    assert report.best == pytest.approx(1 / sqrt(35), rel=1e-12)


def test_sums_add_and_their_report_names_all_filters():
    module = Function(lambda m, x: x + m.a(x), a=nn.Sequential(conv(2, 2, 1), nn.ReLU()))
    with torch.no_grad():
        module.a[0].weight.copy_(3 * torch.eye(2)[..., None, None])
        module.a[0].bias.fill_(1)
    report = certify(module, (4, 4))
    (layer,) = report.layers
    assert barely_above(report["best"].a, 4)
    assert (layer.kind, list(layer.norms), layer.bounds) == ("sum", ["A.1"], ())
    assert barely_above(report["best"].c, sqrt(32))
    assert "‖A.1‖ = 3" in str(report)


@torch.no_grad()
def test_the_error_of_a_sum_is_not_below_what_float64_makes():
    """The same in float32 numbers, of which float64 makes next to no errors."""
    torch.manual_seed(8)
    module = lived(Small()).double()
    (layer,) = [f for f in fold(module) if f.kind == "sum"][:1]
    x = torch.randn(5, 4, 6, 6, dtype=torch.float64)
    error = layer.error(x)
    norm = layer.error_norm(x)
    assert error.shape == layer(x).shape
    assert bool((error.flatten(1).norm(dim=1) >= norm).all())
    assert bool((norm > 0).all())
    assert bool((norm < 1e-11 * layer(x).flatten(1).norm(dim=1)).all())


@pytest.mark.slow
@torch.no_grad()
def test_resnet_18_gets_a_report_and_no_pair_exceeds_it():
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(9)
    network = torchvision.models.resnet18(weights=None).eval()
    report = certify(network, (32, 32))
    assert [r.kind for r in report.layers].count("sum") == 8
    assert (report.network, report.theorem) == ("ResNet", "")
    x = torch.rand(4, 3, 32, 32)
    y = x + torch.randn_like(x) * torch.tensor([1e-3, 1e-2, 0.1, 1])[:, None, None, None]
    ratio = (network(x) - network(y)).norm(dim=1) / (x - y).flatten(1).norm(dim=1)
    assert 0 < float(ratio.max()) <= report["best"].a < 1e12
    layers = fold(network)
    torch.testing.assert_close(
        forward(layers, x.double()), network.double()(x.double()), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_modules_of_other_dtypes_and_in_training_are_folded_as_they_are(dtype):
    torch.manual_seed(10)
    module = lived(Small()).to(dtype).train()
    module.stem.eval()
    modes = [part.training for part in module.modules()]
    report = certify(module, (8, 8))
    assert [part.training for part in module.modules()] == modes
    again = certify(module.double().eval(), (8, 8))
    assert report["best"].a == pytest.approx(again["best"].a, rel=1e-12)


def test_a_parametrization_is_read_in_evaluation_mode_and_left_as_it_is():
    torch.manual_seed(16)
    module = nn.Sequential(nn.utils.parametrizations.spectral_norm(conv()))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    report = certify(module.train(), (8, 8))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert module.training
    assert certify(module.eval(), (8, 8)) == report
    assert torch.equal(fold(module)[0].K, module[0].weight.detach().double())


def refuse(module: nn.Module, match: str) -> None:
    with pytest.raises(InputError, match=match):
        certify(module, (8, 8))


REFUSED = {
    "groups = 2": conv(4, 4, groups=2),
    "dilation = ": conv(dilation=2),
    "padding_mode = 'reflect'": conv(padding=1, padding_mode="reflect"),
    "padding_mode = 'replicate'": conv(padding=1, padding_mode="replicate"),
    "ConvTranspose2d: .*no bound": nn.ConvTranspose2d(3, 3, 3),
    "LazyConv2d: .*no bound": nn.LazyConv2d(3, 3),
    "circular padding of .0, 0.": conv(padding_mode="circular"),
    "circular padding of an even filter, 4x4": conv(n=4, padding=2, padding_mode="circular"),
    "padding of .3, 3. pixels for a filter of 3x3": conv(padding=3),
    "even filter: give the padding": conv(n=4, padding="same"),
    "no running statistics": nn.BatchNorm2d(3, track_running_stats=False),
    "GELU: .*no bound": nn.GELU(),
    "LayerNorm: .*no bound": nn.LayerNorm(8),
    "ceil_mode": nn.AvgPool2d(2, ceil_mode=True),
    "count_include_pad": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "divisor_override": nn.AvgPool2d(3, 1, divisor_override=2),
    "return_indices": nn.MaxPool2d(2, return_indices=True),
    "use dilation = 1": nn.MaxPool2d(2, dilation=2),
    "each channel alone": nn.AdaptiveAvgPool2d(2),
    "from axis 1": nn.Flatten(2),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_layer_without_a_bound_is_named(message):
    module = nn.Sequential(nn.Identity(), nn.Sequential(REFUSED[message]))
    refuse(module, f"layer 1.0, a .*{message}|layer 1.0, a {message}")


A = nn.Conv2d(3, 3, 3, padding=1)
FUNCTIONS = {
    "function sigmoid in the module": lambda m, x: torch.sigmoid(m.a(x)),
    "function mul": lambda m, x: 2 * m.a(x),
    "method view": lambda m, x: x.view(1, -1),
    "adds a constant": lambda m, x: m.a(x) + 1,
    "function add.*no bound": lambda m, x: torch.add(x, m.a(x), alpha=2),
    "parameter or buffer a.weight": lambda m, x: F.conv2d(x, m.a.weight),
    "more than one tensor|one tensor": lambda m, x: (x, m.a(x)),
    "enters two sums": lambda m, x: (lambda u: (u + m.a(m.a(x))) + u)(m.a(x)),
    "cannot trace Function": lambda m, x: x if x.sum() > 0 else m.a(x),
    "width of the features": lambda m, x: m.fc(m.a(x)),
    "needs features with height": lambda m, x: m.a(torch.flatten(x, 1)),
    "equal shapes": lambda m, x: x + m.one(x),
    "make them equal": lambda m, x: m.a(x) + m.shrink(x),
    "relu_.* changes a value in place": lambda m, x: (lambda y: m.a(y) + (torch.relu_(y), y)[1])(
        m.a(x)
    ),
    "layer r, a ReLU, .* changes a value in place": lambda m, x: m.a(m.r(x)) + x,
    "iadd.* changes a value in place": lambda m, x: (lambda y: (lambda z: m.a(y) + z)(y.add_(x)))(
        m.a(x)
    ),
    "layer r, a ReLU, .* in place .*": lambda m, x: (lambda y: m.a(m.r(m.drop(m.same(y)))) + y)(
        m.a(x)
    ),
    "side by side": lambda m, x: torch.flatten(x),
}
FUNCTIONS["add_.* changes a value in place"] = FUNCTIONS.pop("iadd.* changes a value in place")


@pytest.mark.parametrize("message", FUNCTIONS)
def test_an_operation_without_a_bound_is_named(message):
    parts = {
        "a": A,
        "fc": nn.Linear(8, 2),
        "one": nn.Conv2d(3, 1, 1),
        "shrink": nn.Conv2d(3, 3, 3, 2, 1),
        "r": nn.ReLU(inplace=True),
        "drop": nn.Dropout(),
        "same": nn.Identity(),
    }
    refuse(Function(FUNCTIONS[message], **parts), message)


def test_other_things_that_have_no_certificate():
    class Two(nn.Module):
        def forward(self, x, y):
            return x + y

    refuse(Two(), "more than one input")
    refuse(
        nn.Sequential(conv(), nn.Linear(6, 2)), "layer 1, a Linear: a Linear acts on the last axis"
    )
    refuse(nn.Sequential(nn.ReLU()), "no layer has a filter")
    refuse(nn.Sequential(nn.Flatten(), nn.Linear(100, 2)), "do not fit the network")
    refuse(nn.Sequential(conv(), nn.AvgPool2d(9)), "too small for a window")
    hooked = conv()
    hooked.register_forward_hook(lambda *_: None)
    refuse(nn.Sequential(hooked), "layer 0, a Conv2d, has a forward hook")
    patched = conv()
    patched.forward = lambda x: x
    refuse(nn.Sequential(patched), "layer 0, a Conv2d, has a forward that its class has not")
    for bad in (torch.nan, torch.inf):
        broken = conv()
        broken.weight.data[0, 0, 0, 0] = bad
        refuse(nn.Sequential(broken), "layer 0, a Conv2d, has a weight that is not finite")
    forgotten = nn.BatchNorm2d(2)
    assert forgotten.running_var is not None
    forgotten.running_var[1] = torch.inf  # folded, it is a factor of 0
    refuse(nn.Sequential(conv(), forgotten), "layer 1, a BatchNorm2d, has a weight that is not fin")
    with pytest.raises(InputError, match="must be positive"):
        certify(conv(), (0, 4))
    with pytest.raises(InputError, match="a Linear, as the last layer"):
        certifier(nn.Sequential(conv()), (8, 8))


def own_classifier() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, padding_mode="circular"),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(6, 6, (3, 4), 2, padding=(1, 2)), nn.ReLU()),
        Function(lambda m, x: x + m.f(x), f=nn.Conv2d(6, 6, 3, padding=1)),
        nn.Flatten(),
        nn.Linear(6 * 4 * 5, 4),
    )


def balls(module: nn.Module, sizes: dict[str, tuple[int, int]]) -> list[float]:
    """The proven norms of the filters of a module."""
    norms = []
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d):
            g, K = conv_geometry(part), part.weight.detach().double()
            norms.append(proven_norm(square(K), g.torus(sizes[name]), g.stride))
        elif isinstance(part, nn.Linear):
            norms.append(proven_norm(part.weight.detach().double()[..., None, None], (1, 1)))
    return norms


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_under_a_constraint_leaves_no_ball(dtype):
    torch.manual_seed(11)
    module = own_classifier().to(dtype).train()
    sizes = {"0": (8, 8), "2.0": (8, 8), "3.f": (4, 5)}
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.weight.data.mul_(10)
    assert constrain(module, (8, 8), 0.5) is module
    optimiser = torch.optim.SGD(module.parameters(), lr=0.2)
    x, labels, losses = torch.rand(16, 3, 8, 8, dtype=dtype), torch.arange(16) % 4, []
    for _ in range(20):
        norms = balls(module, sizes)
        assert len(norms) == 4
        assert max(norms) <= 1
        optimiser.zero_grad()
        loss = F.cross_entropy(module(x), labels)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert max(norms) > 0.9
    assert certify(module, (8, 8))["best"].a <= 2 * (1 + 1e-8)


def test_what_cannot_be_constrained_is_named_and_nothing_is_changed():
    def unchanged(module, match, c=0.5):
        before = {name: value.clone() for name, value in module.state_dict().items()}
        with pytest.raises(InputError, match=match):
            constrain(module, (8, 8), c)
        after = module.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    batch_norm = "batch normalisation under a constraint: layer"
    unchanged(nn.Sequential(conv(), nn.BatchNorm2d(4)), f"{batch_norm} 1, a BatchNorm2d")
    unchanged(nn.Sequential(conv(), nn.Sequential(Pooling(4))), f"{batch_norm} 1.0, a Pooling")
    unchanged(Network("S"), f"{batch_norm} 0, a Convolution")
    unchanged(Network("original"), "layer 1, a Residual, cannot be constrained")
    unchanged(nn.Sequential(conv(), Residual(4)), "layer 1, a Residual, cannot be constrained")
    unchanged(nn.Sequential(conv(), nn.GELU()), "layer 1, a GELU: ")
    unchanged(nn.Sequential(conv(), conv(4, 4, groups=2)), "layer 1, a Conv2d: groups = 2")
    unchanged(nn.Sequential(conv()), "c must be a positive radius", 0.0)
    for name in ("S", "original"):
        with pytest.raises(InputError, match=r"cannot be constrained|under a constraint"):
            sensitivity(Network(name), (8, 8), 0.5)


def test_our_layers_in_a_sequential_are_constrained_as_in_our_network():
    torch.manual_seed(12)
    module = nn.Sequential(
        Convolution(3, 4, False),
        ResidualS(4, False),
        Pooling(4, False),
        GlobalPooling(),
        Classifier(8, 3),
    )
    report = certify(constrain(module, (8, 8), 0.3), (8, 8))
    assert report.hypotheses_hold
    assert report.layers[2].norms["A"] <= 0.3


@pytest.mark.parametrize("stride", [1, 2, (2, 1)])
@torch.no_grad()
def test_a_norm_ball_of_a_zero_padded_filter_holds_for_the_dense_matrix(stride):
    torch.manual_seed(13)
    for n, p, dtype in itertools.product((2, 3, (1, 3)), (0, 1), (torch.float32, torch.float64)):
        padding = p if isinstance(n, int) else (0, p)
        layer = nn.Conv2d(2, 3, n, stride, padding, bias=False, dtype=dtype)
        norm_ball(layer, 1.0, (5, 6))
        trained_weight(layer).mul_(100)
        A = dense(
            lambda x, layer=layer: F.conv2d(
                x, layer.weight.double(), None, layer.stride, layer.padding
            ),
            2,
            5,
            6,
        )
        assert 0.5 < float(torch.linalg.matrix_norm(A, 2)) <= 1
        g = conv_geometry(layer)
        proven = proven_norm(square(layer.weight.double()), g.torus((5, 6)), g.stride)
        assert 0.99 < proven <= 1


@torch.no_grad()
def test_no_stored_weight_exceeds_its_radius():
    """In float64 there is hardly any room: matrices close to orthogonal, filters that cancel."""
    torch.manual_seed(14)
    for trial in range(60):
        n, d = (1, 3, 5)[trial % 3], (1, 2, 7, 20)[trial % 4]
        layer = nn.Conv2d(d, d + trial % 2, n, padding=n // 2, dtype=torch.float64)
        norm_ball(layer, 0.7, (6, 7))
        K = trained_weight(layer)
        K.normal_()
        if trial % 5 == 0:
            K[..., 0, 0] -= K.sum((-2, -1))
        if trial % 5 == 1:
            K.zero_()[:d, :, n // 2, n // 2] = torch.linalg.qr(torch.randn(d, d).double()).Q
        torus = conv_geometry(layer).torus((6, 7))
        assert proven_norm(layer.weight, torus) <= 0.7
        linear = norm_ball(nn.Linear(d, d + 1, dtype=torch.float64), 1.0)
        trained_weight(linear).normal_()
        assert proven_norm(linear.weight[..., None, None], (1, 1)) <= 1


def test_a_norm_ball_refuses_what_it_cannot_bound():
    for layer, match in (
        (nn.ConvTranspose2d(2, 2, 3), "no bound for a ConvTranspose2d"),
        (nn.Embedding(4, 2), "no bound for a Embedding"),
        (nn.Conv2d(2, 2, 3, groups=2), "groups = 2"),
        (nn.Conv2d(2, 2, 3, dilation=2), "dilation"),
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), "'reflect'"),
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="replicate"), "'replicate'"),
        (nn.Conv1d(2, 2, 3), "weight of shape"),
        (nn.ReLU(), "weight of shape"),
    ):
        with pytest.raises(InputError, match=match):
            norm_ball(layer, 1.0, (8, 8))
        assert not hasattr(layer, "parametrizations")
    for layer in (nn.Conv2d(2, 2, 3), PeriodicConv2d(2, 2)):
        with pytest.raises(InputError, match="needs the height and width of the layer's input"):
            norm_ball(layer, 1.0)
    with pytest.raises(InputError, match="the layer has the stride 2, not 1"):
        norm_ball(nn.Conv2d(2, 2, 3, 2), 1.0, (8, 8), 1)
    ball = norm_ball(PeriodicConv2d(2, 2, stride=2), 1.0, (8, 8)).parametrizations.weight[0]
    assert ball.stride == 2


def test_radii_agree_with_the_certifier_and_with_attacks():
    torch.manual_seed(15)
    module = constrain(own_classifier(), (8, 8), 0.5).eval()
    images = torch.rand(20, 3, 8, 8)
    labels = module(images).argmax(1)
    labels[0] = (labels[0] + 1) % 4
    scores, R = certified_radii(module, images, labels)
    expected = certifier(module, (8, 8)).radii(images, labels)
    assert torch.equal(scores, expected[0])
    assert torch.equal(R, expected[1])
    assert R[0] == 0
    assert bool((R[1:] > 0).all())
    W = module[-1].weight.detach().double()
    L = certify(module[:-1], (8, 8))["best"].a
    by_hand = torch.stack(
        [
            min((s[t] - s[j]) / (L * (W[t] - W[j]).norm()) for j in range(4) if j != t)
            for s, t in zip(scores[1:], labels[1:].tolist(), strict=True)
        ]
    )
    torch.testing.assert_close(R[1:], by_hand, rtol=1e-8, atol=0)
    for bad in (images[0], images[:, 0]):
        with pytest.raises(InputError, match="images must have the shape"):
            certified_radii(module, bad, labels)
    with pytest.raises(InputError, match=r"labels \(batch,\)"):
        certified_radii(module, images, labels[:-1])
