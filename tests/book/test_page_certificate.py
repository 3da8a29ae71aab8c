"""The certificate in a file: its bounds against exact arithmetic, its radii in the browser."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from engine_page import decode, encode, numbers, start_engine
from playwright.sync_api import Browser, Page
from test_engine import settled

from forward_stability.book.deviation import (
    AT,
    BT,
    Affine,
    G,
    _carry,
    _overlap,
    own_distance,
    own_rounding,
    rounding,
    rounding_of_weights,
    winograd,
)
from forward_stability.book.export import export_network, export_run
from forward_stability.book.page_certificate import certified_export, certify_export
from forward_stability.certificates import certify_layers
from forward_stability.errors import InputError
from forward_stability.experiments.data import load_dataset, scale
from forward_stability.experiments.runs import Run
from forward_stability.folded_residual import FoldedOriginal, FoldedResidual, FoldedSymmetric
from forward_stability.folding import (
    FoldedConv,
    FoldedFlattening,
    FoldedGlobalPooling,
    FoldedHalving,
    FoldedLinear,
    FoldedPooling,
    FoldedUnshuffling,
    forward,
)
from forward_stability.graph import fold
from forward_stability.operators import conv_matrix
from forward_stability.radius import certifier
from forward_stability.rounding import U

RUN = "digits-S-m2-theorem-seed0"


@pytest.fixture(scope="module")
def engine(browser: Browser) -> Iterator[Page]:
    page = start_engine(browser)
    yield page
    page.close()


def as_in_the_page(K, b, x):
    """The sums of ``convolution.js``, in its order, for numbers of any type: y[o][i][j]."""
    (height, width), C = x.shape[1:], K.shape[1]
    y = np.empty((K.shape[0], height, width), dtype=object)

    def G(a, b, c):
        return [a, (a + b + c) / 2, (a - b + c) / 2, c]

    def BT(d):
        return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]

    for o in range(K.shape[0]):
        filters = []
        for c in range(C):
            columns = [G(*K[o, c, :, j]) for j in range(3)]
            filters.append([G(*(column[i] for column in columns)) for i in range(4)])
        for i in range(0, height, 2):
            for j in range(0, width, 2):
                M: list[list[Any]] = [[0] * 4 for _ in range(4)]
                for c in range(C):
                    rows = [
                        BT([x[c, (i + k - 1) % height, (j + m - 1) % width] for m in range(4)])
                        for k in range(4)
                    ]
                    square = [BT([row[m] for row in rows]) for m in range(4)]
                    for k in range(4):
                        for m in range(4):
                            M[k][m] = M[k][m] + filters[c][k][m] * square[m][k]
                p = [M[0][m] + M[1][m] + M[2][m] for m in range(4)]
                q = [M[1][m] - M[2][m] - M[3][m] for m in range(4)]
                for row, at in ((p, i), (q, i + 1)):
                    for to, (s, t, u) in ((j, row[:3]), (j + 1, row[1:])):
                        if at < height and to < width:
                            last = b[o] + s
                            y[o, at, to] = last + t + u if to == j else last - t - u
    return y


@dataclass
class Counted:
    """An absolute value, and how often what it stands for was rounded at most."""

    size: float
    count: int = 0

    def __add__(self, other):
        if not isinstance(other, Counted):
            return self
        return Counted(self.size + other.size, max(self.count, other.count) + 1)

    __radd__ = __sub__ = __add__

    def __mul__(self, other):
        return Counted(self.size * other.size, self.count + other.count + 1)

    def __truediv__(self, power_of_two):
        return Counted(self.size / power_of_two, self.count)


count = np.vectorize(lambda z: Counted(abs(z)), otypes=[object])
exactly = np.vectorize(Fraction, otypes=[object])


def hostile(shape, seed: int) -> torch.Tensor:
    """Numbers of very different sizes and both signs."""
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(shape, generator=random).double() * (1 + 1e-9)
    return z * 10 ** (6 * torch.rand(shape, generator=random).double() - 3)


def plain(shape, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double() / 3


CONVOLVE = """([shape, K, b, size, x]) => {
    const data = (t) => new Float64Array(bytes(t));
    const [channels, height, width] = size;
    return text(convolve({channels, height, width, data: data(x)},
        transformed({shape, data: data(K)}), data(b)).data);
}"""


@pytest.mark.parametrize("draw", [plain, hostile])
@pytest.mark.parametrize("shape", [(3, 2, 4, 6), (2, 5, 5, 3), (1, 1, 2, 2), (5, 3, 1, 4)], ids=str)
def test_the_error_of_a_convolution_in_the_page(engine: Page, draw, shape):
    """The page computes what the copy above computes, bit for bit, and its error has the bound."""
    out, into, *size = shape
    K, b, x = draw((out, into, 3, 3), 0), draw((out,), 1), draw((into, *size), 2)
    arguments = [list(K.shape), numbers(K), numbers(b), list(x.shape), numbers(x)]
    found = decode(engine.evaluate(CONVOLVE, arguments)).view(out, *size)
    copy = as_in_the_page(K.numpy(), b.numpy(), x.numpy()).astype(float)
    assert torch.equal(found, torch.from_numpy(copy))
    exact = as_in_the_page(*(exactly(z.numpy()) for z in (K, b, x)))
    error = np.vectorize(lambda z, w: float(Fraction(z) - w))(found.numpy(), exact)
    bound = winograd(K, b, (size[0], size[1]))
    assert 0 < np.linalg.norm(error) <= bound.offset + bound.slope * float(x.norm())


@pytest.mark.parametrize("shape", [(3, 2, 4, 6), (2, 5, 5, 3), (1, 1, 2, 2), (5, 3, 1, 4)], ids=str)
def test_the_bound_of_a_convolution_counts_every_rounding(shape):
    """Against the same sums of absolute values, pixel by pixel, and the roundings on their way."""
    out, into, *size = shape
    K, b = plain((out, into, 3, 3), 0), plain((out,), 1)
    columns, counts = [], []
    for at in range(into * prod(size)):
        x = np.zeros(into * prod(size))
        x[at] = 1
        y = as_in_the_page(count(K.numpy()), count(0 * b.numpy()), count(x.reshape(into, *size)))
        columns.append([z.size for z in y.flat])
        counts += [z.count for z in y.flat]
    # The first sum of the page is 0 + a product, which is exact, and is not counted here either.
    most, norm = max(counts), np.linalg.norm(np.array(columns), 2)
    bound = winograd(K, b, (size[0], size[1]))
    assert bound.offset >= most * U * float(b.norm()) * sqrt(prod(size))
    assert bound.slope >= most * U * norm
    even = size[0] % 2 == size[1] % 2 == 0
    assert bound.slope <= (2 if even else 3) * most * U * norm
    assert bound.offset <= 1.02 * most * U * float(b.norm()) * sqrt(prod(size)) + 1e-200


def test_the_matrices_of_winograd_are_those_of_a_convolution():
    g, d = plain((3, 3), 0), plain((4, 4), 1)
    y = AT @ ((G @ g @ G.T) * (BT @ d @ BT.T)) @ AT.T
    expected = torch.nn.functional.conv2d(d[None, None], g[None, None])[0, 0]
    torch.testing.assert_close(y, expected, rtol=1e-14, atol=1e-14)


def dense(K: torch.Tensor, size) -> float:
    return float(torch.linalg.matrix_norm(conv_matrix(K, size), 2))


def residual_layers() -> list[tuple[Any, int]]:
    """Residual layers with their stride."""
    d = 3
    K1, K2, b1, b2 = plain((d, d, 3, 3), 0), plain((d, d, 3, 3), 1), plain((d,), 2), plain((d,), 3)
    wide = plain((2 * d, d, 3, 3), 4), plain((2 * d, 2 * d, 3, 3), 5)
    c1, c2 = plain((2 * d,), 6), plain((2 * d,), 7)
    return [
        (FoldedResidual(K1, b1, K2, b2), 1),
        (FoldedSymmetric(K1, b1, b2, 1 + plain((d,), 8).abs(), 1 + plain((d,), 9).abs()), 1),
        (FoldedOriginal(wide[0], c1, wide[1], c2, stride=2), 2),
    ]


@pytest.mark.parametrize(("layer", "stride"), residual_layers(), ids=["D", "S", "original"])
def test_the_rounding_of_a_residual_layer(layer, stride):
    """With norms of dense matrices: the hidden units', the second filter's, the difference's."""
    size = (4, 6)
    out = (4 // stride, 6 // stride)
    norm1, norm2 = dense(layer.K1, size), dense(layer.K2, out)
    beta1, beta2 = (float(b.norm()) for b in (layer.b1, layer.b2))
    beta1, beta2 = beta1 * sqrt(prod(size)), beta2 * sqrt(prod(out))
    first, second = winograd(layer.K1, layer.b1, size), winograd(layer.K2, layer.b2, out)
    bound = own_rounding(layer, size)
    for nu in (0.0, 1.0, 1e3):
        at = first.offset + first.slope * nu
        hidden = norm1 * nu + beta1 + at
        own = second.offset + second.slope * hidden
        expected = norm2 * at + own + U * (nu + norm2 * hidden + beta2 + own)
        assert bound.offset + bound.slope * nu == pytest.approx(expected, rel=1e-11, abs=0)
        assert bound.offset + bound.slope * nu >= expected * (1 - 1e-14)


def test_the_rounding_of_the_other_layers():
    K, b, size = plain((4, 2, 3, 3), 0), plain((4,), 1), (4, 6)
    own = winograd(K, b, size)
    bound = own_rounding(FoldedPooling(K, b), size)
    for nu in (0.0, 1.0, 1e3):
        conv = own.offset + own.slope * nu
        hidden = dense(K, size) * nu + float(b.norm()) * sqrt(24) + conv
        expected = conv + 3 * U * nu / 2 + U * (nu / 2 * (1 + 3 * U) + hidden)
        assert expected <= bound.offset + bound.slope * nu <= 1.02 * expected
    assert own_rounding(FoldedConv(K, b), size) == own
    pooled = own_rounding(FoldedGlobalPooling(), size).slope
    assert 25 * U / sqrt(24) <= pooled <= 1.02 * 25 * U / sqrt(24)
    assert 3 * U / 2 <= own_rounding(FoldedHalving(), size).slope <= 1.02 * 3 * U / 2
    assert own_rounding(FoldedFlattening(), size) == Affine(0.0, 0.0)
    W, norm = plain((4, 8), 2), float(torch.linalg.matrix_norm(plain((4, 8), 2).abs(), 2))
    bound = own_rounding(FoldedUnshuffling(W, b), size)
    assert 9 * U * norm <= bound.slope <= 1.02 * 9 * U * norm
    assert 9 * U * float(b.norm()) * sqrt(6) <= bound.offset <= 1.02 * 9 * U * b.norm() * sqrt(6)
    with pytest.raises(InputError, match="kind 'classifier' has no bound in the page"):
        own_rounding(FoldedLinear(plain((2, 3), 0), plain((2,), 0)), (1, 1))


LAYERS = [layer for layer, _ in residual_layers()] + [
    FoldedConv(plain((4, 3, 3, 3), 0), plain((4,), 1)),
    FoldedPooling(plain((6, 3, 3, 3), 0), plain((6,), 1)),
    FoldedUnshuffling(plain((6, 12), 0), plain((6,), 1)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.kind)
@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_the_distance_of_two_layers(layer, offset):
    """One of the tensors is another; the worst input of a climb stays below, and comes near."""
    size = (4, 6)
    names = [name for name in ("K", "K1", "K2", "W", "b", "b1", "b2") if name in vars(layer)]
    for at, name in enumerate(names):
        same = {n: getattr(layer, n) + offset for n in names if n.startswith("b")}
        mine = replace(layer, **same)
        changed = getattr(mine, name)
        other = replace(mine, **{name: changed + 0.1 * plain(changed.shape, 20 + at)})
        bound = own_distance(mine, other, size)
        most = 0.0
        for nu in (0.0, 1.0, 30.0):
            x = plain((8, 3, *size), 40).requires_grad_()
            for _ in range(30):
                unit = nu * x / x.flatten(1).norm(dim=1)[:, None, None, None]
                gap = (mine(unit) - other(unit)).flatten(1).norm(dim=1)
                ratio = float(gap.detach().max()) / (bound.offset + bound.slope * nu + 1e-30)
                assert ratio <= 1 + 1e-12  # the two layers are rounded
                most = max(most, ratio)
                if nu == 0 or float(gap.detach().max()) == 0:
                    break
                (slope,) = torch.autograd.grad(gap.sum(), x)
                x = (x + 0.3 * slope / slope.norm().clamp_min(1e-30) * x.norm()).detach()
                x.requires_grad_()
        assert most > (0.04 if layer.kind == FoldedPooling.kind else 0.15), name


def test_the_distance_of_two_residual_layers_by_its_formula():
    """All weights differ; norms of dense matrices."""
    layer, _ = residual_layers()[0]
    other = replace(
        layer, **{n: 1.5 * z + 0.1 * plain(z.shape, 50) for n, z in vars(layer).items()}
    )
    size, pixels = (4, 6), sqrt(24)
    apart = {n: getattr(layer, n) - getattr(other, n) for n in ("K1", "b1", "K2", "b2")}
    bound = own_distance(layer, other, size)
    for nu in (0.0, 1.0, 30.0):
        first = dense(apart["K1"], size) * nu + float(apart["b1"].norm()) * pixels
        hidden = dense(layer.K1, size) * nu + float(layer.b1.norm()) * pixels
        expected = dense(other.K2, size) * first + dense(apart["K2"], size) * hidden
        expected += float(apart["b2"].norm()) * pixels
        assert bound.offset + bound.slope * nu == pytest.approx(expected, rel=1e-11, abs=0)


def test_in_how_many_squares_of_winograd_a_row_of_pixels_lies():
    assert [_overlap(side) for side in range(1, 9)] == [4, 2, 3, 2, 3, 2, 3, 2]


def chain(first: float, second: float, W: torch.Tensor):
    """Two filters that multiply a channel, all features side by side, and a classifier."""

    def times(z: float) -> FoldedConv:
        K = torch.zeros(1, 1, 3, 3).double()
        K[0, 0, 1, 1] = z
        return FoldedConv(K, torch.full((1,), z / 8).double())

    return [times(first), times(second), FoldedFlattening(), FoldedLinear(W, W[:, 0])]


def test_a_deviation_goes_through_the_layers_behind_it():
    """With filters that multiply, every bound is attained."""
    W = torch.eye(2, 4).double()
    mine, others = chain(3.0, 2.0, W), chain(3.5, 2.25, 1.25 * W)
    found = rounding_of_weights(mine, others, (2, 2))
    # The biases are 3/8 and 2/8, on 4 pixels: norms 3/4 and 1/2, of the differences 1/8 and 1/16.
    first, norm = Affine(1 / 8, 0.5), Affine(3 / 4, 3.0)
    features = 2.25 * first + Affine(1 / 16, 0.25).of(norm)
    assert found.features.slope == pytest.approx(features.slope, rel=1e-9, abs=0)
    assert found.features.offset == pytest.approx(features.offset, rel=1e-9, abs=0)
    scores = Affine(0.25, 0.25).of(2.0 * norm + Affine(0.5, 0.0))
    assert found.scores.slope == pytest.approx(scores.slope, rel=1e-9, abs=0)
    assert found.scores.offset == pytest.approx(scores.offset, rel=1e-9, abs=0)


def test_rounding_goes_through_the_layers_behind_it():
    W = torch.eye(2, 4).double()
    layers = chain(3.0, 2.0, W)
    one, two = (winograd(layer.K, layer.b, (2, 2)) for layer in layers[:2])
    found = rounding(layers, (2, 2))
    norm = Affine(3 / 4, 3.0 * (1 + U)) + one
    features = 2.0 * (Affine(0.0, 3 * U) + one) + two.of(norm)
    assert found.features.slope == pytest.approx(features.slope, rel=1e-9, abs=0)
    assert found.features.offset == pytest.approx(features.offset, rel=1e-9, abs=0)
    total = Affine(1.0, 1.0).of(2.0 * norm + Affine(0.5, 0.0))
    assert 5 * U * total.slope <= found.scores.slope <= 6.1 * U * total.slope
    assert 5 * U * total.offset <= found.scores.offset <= 6.1 * U * total.offset


@pytest.mark.parametrize("perturbed", [False, True])
def test_the_norm_of_what_is_computed_grows_by_its_errors_too(perturbed):
    """With errors that are large."""
    layers = chain(3.0, 2.0, torch.eye(2, 4).double())
    reports = certify_layers(layers[:2], (2, 2)).layers
    steps = [Affine(1.0, 0.5), Affine(2.0, 0.25)]
    deviation, norm = _carry(reports, steps, Affine(0.0, 0.0), Affine(0.0, 1.0), perturbed)
    inner = Affine(3 / 4 + perturbed, 3.0 + 0.5 * perturbed)
    expected = Affine(2.0, 1.0) + steps[1].of(inner), 2.0 * inner + Affine(0.5, 0.0)
    outer = expected[1] + steps[1].of(inner) if perturbed else expected[1]
    for found, right in ((deviation, expected[0]), (norm, outer)):
        assert found.slope == pytest.approx(right.slope, rel=1e-9, abs=0)
        assert found.offset == pytest.approx(right.offset, rel=1e-9, abs=0)


NETWORKS = [
    ("S", {}),
    ("D", {}),
    ("original", {}),
    ("S", {"halve": True, "flatten": (4, 4)}),
    ("S", {"unshuffle": True, "pooling": "unshuffling"}),
]
SCORES = "([file, x]) => text(new Network(bytes(file)).scores(new Float64Array(bytes(x))))"


def exact(layer, x: np.ndarray) -> np.ndarray:
    """A layer in rationals, for a single input (channels, height, width)."""

    def conv(K, b, x, stride=1):
        y = as_in_the_page(exactly(K.numpy()), exactly(b.numpy()), x)
        return y[:, ::stride, ::stride]

    def pad(x, d):
        before = (d - len(x)) // 2
        y = exactly(np.zeros((d, *x.shape[1:])))
        y[before : before + len(x)] = x
        return y

    def halved(x):
        return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4

    match layer:
        case FoldedConv(K, b):
            return conv(K, b, x)
        case FoldedHalving():
            return halved(x)
        case FoldedPooling(K, b):
            return np.maximum(pad(halved(x), len(K)) - np.maximum(conv(K, b, x, 2), 0), 0)
        case FoldedUnshuffling(W, b):
            corners = [(i, j) for i in (0, 1) for j in (0, 1)]
            u = np.stack([channel[i::2, j::2] for channel in x for i, j in corners])
            y = np.tensordot(exactly(W.numpy()), u, 1)
            return y + exactly(b.numpy())[:, None, None]
        case FoldedGlobalPooling():
            return np.maximum(x, 0).sum((1, 2), keepdims=True) / prod(x.shape[1:])
        case FoldedFlattening():
            return x.reshape(-1, 1, 1)
        case FoldedLinear(W, b):
            return exactly(W.numpy()) @ x.reshape(-1) + exactly(b.numpy())
    s = getattr(layer, "stride", 1)
    y = np.maximum(conv(layer.K1, layer.b1, x, s), 0)
    z = pad(x[:, ::s, ::s], len(layer.b2)) - conv(layer.K2, -layer.b2, y)
    return np.maximum(z, 0)


@pytest.mark.parametrize(("variant", "options"), NETWORKS, ids=str)
def test_what_the_page_computes_against_rationals(engine: Page, variant, options):
    """And the network that was trained, whose weights have more than 16 bits."""
    size = (8, 8) if options else (4, 4)
    network = settled(variant, 1, 2, 1, size, 3, **options)
    exported = export_network(network, size, list("abc"))
    certificate = certify_export(network, exported, size)
    mean = exported.tensors["mean"].double()

    def scores(layers, x):
        for layer in layers:
            x = exact(layer, x)
        return x

    seen = [0.0, 0.0]
    for image in 2 * torch.randn(4, 1, *size).double():  # a network may be 0 at one
        found = decode(engine.evaluate(SCORES, [encode(exported.to_bytes()), numbers(image)]))
        x, rho = exactly(image.numpy()) - exactly(mean.numpy()), float((image - mean).norm())
        stored, trained = scores(exported.layers, x), scores(fold(network), x)
        page = [Fraction(z) for z in found.tolist()]
        for at, (got, right, allowed) in enumerate(
            [(page, stored, certificate.rounding), (stored, trained, certificate.weights)]
        ):
            bounds = allowed.features, allowed.scores
            f, s = (b.offset + b.slope * rho * (1 + 1e-12) for b in bounds)
            for i in range(3):
                for j in range(i):
                    apart = abs(float((got[i] - got[j]) - (right[i] - right[j])))
                    assert apart <= float(certificate.distances[i, j]) * f + 2 * s
                    seen[at] = max(seen[at], apart)
    assert min(seen) > 0


@pytest.mark.slow
def test_the_radius_is_the_same_in_the_page(engine: Page):
    """It is below that of the network as trained, and by no more than 16 bits explain."""
    run = Run(RUN)
    exported, network = certified_export(run), run.network()
    certificate = certify_export(network, exported, (32, 32))
    images = scale(load_dataset("digits").test_images[:60]).double()
    x = images - exported.tensors["mean"].double()
    found = engine.evaluate(
        """([file, images, count]) => {
            const network = new Network(bytes(file)), all = new Float64Array(bytes(images));
            const size = all.length / count;
            return Array.from({length: count}, (_, i) => {
                const x = network.features(all.subarray(i * size, (i + 1) * size));
                const scores = x.at(-1).data;
                return radius(network.header.certificate, scores, length(x[0].data));
            });
        }""",
        [encode(exported.to_bytes()), numbers(images), len(images)],
    )
    scores = forward(exported.layers, x)
    expected = certificate.radii(scores, x.flatten(1).norm(dim=1) * (1 + 1e-12))
    torch.testing.assert_close(
        torch.tensor(found, dtype=torch.float64), expected, rtol=1e-9, atol=1e-12
    )
    _, before = certifier(network, (32, 32)).radii(images, scores.argmax(1))
    lost = (1 - expected / before)[before > 0.1]
    assert lost.min() > 0.001
    assert lost.max() < 0.06


def test_every_part_of_the_radius(engine: Page):
    """The formula written out for one pair, in the page and in Python."""
    exported = certified_export(Run(RUN))
    certificate = certify_export(Run(RUN).network(), exported, (32, 32))
    large = replace(
        certificate,
        distances=torch.tensor([[0.0, 3.0], [3.0, 0.0]]).double(),
        constant=0.5,
        rounding=replace(
            certificate.rounding, features=Affine(0.1, 0.02), scores=Affine(0.03, 0.04)
        ),
        weights=replace(
            certificate.weights, features=Affine(0.05, 0.06), scores=Affine(0.07, 0.01)
        ),
    )
    rounded = 3 * (0.1 + 0.02 * 2) + 2 * (0.03 + 0.04 * 2)
    weights = 3 * (0.05 + 0.06 * 2) + 2 * (0.07 + 0.01 * 2)
    expected = (9 - 2 * rounded - weights) / (3 * 0.5 + 3 * 0.02 + 2 * 0.04)
    scores = torch.tensor([[1.0, 10.0]]).double()
    radius = float(large.radii(scores, torch.tensor([2.0]).double()))
    assert radius == pytest.approx(expected, rel=1e-11, abs=0)
    assert radius <= expected * (1 - 1e-16)
    there = engine.evaluate(
        "([header, scores]) => radius(header, new Float64Array(scores), 2)",
        [large.to_dict(), scores[0].tolist()],
    )
    assert there == pytest.approx(expected, rel=1e-11, abs=0)
    assert there <= expected
    nothing = [
        engine.evaluate(
            "([header, scores]) => radius(header, new Float64Array(scores), 2)",
            [large.to_dict(), [1.0, 2.0]],
        ),
        float(large.radii(torch.tensor([[1.0, 2.0]]).double(), torch.tensor([2.0]).double())),
    ]
    assert nothing == [0, 0]


def test_a_certificate_holds_for_the_trained_and_for_the_stored_network():
    """Its constant and its distances are the larger ones of the two."""
    run = Run(RUN)
    network, exported = run.network(), export_run(run)
    found = certify_export(network, exported, (32, 32))
    stored = exported.layers[-1].W
    for W in (fold(network)[-1].W, stored):
        assert bool((found.distances >= torch.cdist(W, W) * (1 - 1e-12)).all())
    assert found.constant >= certifier(network, (32, 32)).constant
    assert found.constant >= next(
        s["bound"] for s in exported.header["stages"] if s["layer"] == 8
    ) * (1 - 1e-12)
