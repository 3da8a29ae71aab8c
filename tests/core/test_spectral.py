"""Singular values against the dense matrix; the differentiable bound; the constraint."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import parametrize

from forward_stability.errors import InputError
from forward_stability.layers import PeriodicConv2d
from forward_stability.operators import conv_matrix
from forward_stability.spectral import (
    NormBall,
    conv_norm,
    conv_norm_bound,
    conv_singular_values,
    gram_bound,
    norm_ball,
    symbol,
)

SIZES = {1: [(6, 6), (5, 7), (6, 4), (1, 3)], 2: [(6, 6), (4, 6), (2, 2), (8, 4)]}
CASES = [
    (stride, n, size, out, into)
    for stride in (1, 2)
    for n, size, (out, into) in itertools.product(
        (1, 3, 5, 7), SIZES[stride], ((2, 2), (1, 2), (3, 2))
    )
]


def dense_matrix(K: torch.Tensor, size: tuple[int, int], stride: int) -> torch.Tensor:
    """The matrix of the convolution column by column: any filter on any image."""
    (h, w), p, into = size, K.shape[-1] // 2, K.shape[1]
    x = torch.eye(into * h * w, dtype=K.dtype).reshape(-1, into, h, w)
    rows, columns = torch.arange(-p, h + p) % h, torch.arange(-p, w + p) % w
    return F.conv2d(x[..., rows, :][..., columns], K, stride=stride).flatten(1).T


def random_filter(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_singular_values_equal_those_of_the_dense_matrix():
    """288 random filters, square and rectangular images, filters larger than the image.

    Relative to the largest singular value: smaller ones of the dense matrix are only known so far.
    """
    torch.manual_seed(0)
    worst = 0.0
    for stride, n, size, out, into in CASES * 3:
        K = random_filter(out, into, n, n) * 10 ** float(torch.randn(()))
        expected = torch.linalg.svdvals(dense_matrix(K, size, stride))
        values = conv_singular_values(K, size, stride)
        assert values.shape == expected.shape
        worst = max(worst, float((values - expected).abs().max() / expected[0]))
        norm = float(conv_norm(K, size, stride) / expected[0])
        assert abs(norm - 1) <= 1e-12
    assert len(CASES * 3) >= 200
    assert worst <= 1e-12


def test_stride_3_and_float32_filters():
    K = torch.randn(4, 2, 3, 3)
    expected = torch.linalg.svdvals(conv_matrix(K.double(), (9, 6), 3))
    assert conv_singular_values(K, (9, 6), 3).dtype == torch.float64
    torch.testing.assert_close(conv_singular_values(K, (9, 6), 3), expected, rtol=0, atol=1e-13)


def test_the_symbol_of_a_product_is_the_product_of_the_symbols():
    K1, K2, size = random_filter(3, 2, 3, 3), random_filter(4, 3, 3, 3), (4, 6)
    values = torch.linalg.matrix_norm(symbol(K2, size) @ symbol(K1, size), 2)
    dense = conv_matrix(K2, size) @ conv_matrix(K1, size)
    expected = torch.linalg.matrix_norm(dense, 2)
    torch.testing.assert_close(values.max(), expected, rtol=1e-13, atol=0)


def test_norms_of_filters_with_a_known_norm():
    size = (6, 6)
    delta = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    delta[..., 0, 2] = -3  # a shift times -3
    mean = torch.full((1, 1, 3, 3), 1 / 9, dtype=torch.float64)
    difference = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    difference[..., 1, 1:] = torch.tensor([-1.0, 1.0])
    for K, expected in ((delta, 3), (mean, 1), (difference, 2), (torch.zeros_like(mean), 0)):
        assert float(conv_norm(K, size)) == pytest.approx(expected, abs=1e-14)
    # On an odd circle the highest frequency is missing, and the difference has norm < 2.
    width = 7
    expected = 2 * torch.sin(torch.tensor(torch.pi * 3 / width, dtype=torch.float64))
    assert float(conv_norm(difference, (6, width))) == pytest.approx(float(expected), rel=1e-14)


def test_batches_of_filters():
    K = random_filter(2, 5, 3, 2, 3, 3)
    one_by_one = torch.stack([torch.stack([conv_norm(k, (4, 4)) for k in row]) for row in K])
    torch.testing.assert_close(conv_norm(K, (4, 4)), one_by_one, rtol=1e-14, atol=0)
    one_by_one = torch.stack([torch.stack([gram_bound(k, (4, 4)) for k in row]) for row in K])
    torch.testing.assert_close(gram_bound(K, (4, 4)), one_by_one, rtol=1e-13, atol=0)


@pytest.mark.parametrize("size", [(7, 8), (8, 7), (5, 5), (1, 2), (3, 1)])
def test_a_stride_that_does_not_divide_the_size_gives_a_marked_upper_bound(size):
    torch.manual_seed(1)
    for n in (1, 3, 5):
        K = random_filter(4, 3, n, n)
        with pytest.raises(InputError, match="conv_norm_bound"):
            conv_norm(K, size, 2)
        true = float(torch.linalg.matrix_norm(conv_matrix(K, size, 2), 2))
        bound, exact = conv_norm_bound(K, size, 2)
        assert not exact
        assert true * (1 - 1e-13) <= float(bound) <= float(conv_norm(K, size)) * (1 + 1e-13)
        assert float(gram_bound(K, size, 2)) >= true
    assert conv_norm_bound(K, (4, 6), 2)[1]
    assert conv_norm_bound(K, (5, 7), 1)[1]


def special_filters(count: int) -> torch.Tensor:
    """Filters for which an upper bound has no slack: multiples of a shift (all values equal)."""
    K = torch.zeros(count, 4, 4, 3, 3, dtype=torch.float64)
    shift = torch.randint(9, (count,))
    scale = 10 ** torch.empty(count, dtype=torch.float64).uniform_(-4, 4)
    for c in range(4):
        K.flatten(-2)[torch.arange(count), c, c, shift] = scale
    return K


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_differentiable_bound_is_never_below_the_norm(dtype):
    """10,500 draws a precision: full rank, rank one (no slack at all), shifts, several sizes."""
    torch.manual_seed(2)
    lowest, largest, draws = torch.inf, 0.0, 0
    scale = 10 ** torch.empty(2500, 1, 1, 1, 1, dtype=torch.float64).uniform_(-5, 5)
    full = random_filter(2500, 3, 2, 3, 3) * scale
    rank_one = random_filter(2500, 3, 1, 3, 3) * random_filter(2500, 1, 2, 1, 1)
    batches = [
        (full, (4, 6), 1),
        (full.transpose(1, 2), (4, 4), 2),
        (rank_one, (5, 3), 1),
        (rank_one[:1000], (5, 3), 2),
        (special_filters(1900), (4, 4), 1),
        (random_filter(100, 16, 8, 3, 3), (8, 8), 2),
    ]
    for K, size, stride in batches:
        K = K.to(dtype)
        exact, _ = conv_norm_bound(K, size, stride)
        ratio = gram_bound(K, size, stride).double() / exact
        lowest, largest = min(lowest, float(ratio.min())), max(largest, float(ratio.max()))
        draws += len(K)
    assert draws == 10_500
    assert lowest >= 1
    # Equal singular values cost r^(1/2^(t+1)): r = 4 and t = 6 here.
    assert largest <= 4 ** (1 / 128) * (1 + 1e-3)


def test_more_iterations_make_the_bound_sharper():
    torch.manual_seed(3)
    K = random_filter(100, 8, 8, 3, 3)
    exact = conv_norm(K, (8, 8))
    slack = [float((gram_bound(K, (8, 8), iterations=t) / exact - 1).max()) for t in (0, 2, 4, 6)]
    assert slack == sorted(slack, reverse=True)
    assert torch.equal(gram_bound(K, (8, 8)), gram_bound(K, (8, 8), iterations=6))
    assert not torch.equal(gram_bound(K, (8, 8)), gram_bound(K, (8, 8), iterations=7))
    assert slack[-1] < 1e-3


def test_bound_of_a_bfloat16_filter_and_under_autocast():
    K = torch.randn(8, 8, 3, 3)
    exact = float(conv_norm(K.bfloat16(), (8, 8)))
    assert 1 <= float(gram_bound(K.bfloat16(), (8, 8))) / exact < 1.01
    expected = gram_bound(K, (8, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gram_bound(K, (8, 8)), expected)


@pytest.mark.parametrize(("size", "stride"), [((4, 5), 1), ((4, 4), 2), ((3, 3), 2), ((2, 2), 1)])
@pytest.mark.parametrize("shape", [(4, 2, 3, 3, 3), (4, 3, 2, 3, 3)])
def test_gradient_of_the_bound_is_that_of_the_norm(size, stride, shape):
    torch.manual_seed(5)
    K = random_filter(*shape).requires_grad_()
    (exact,) = torch.autograd.grad(conv_norm_bound(K, size, stride)[0].sum(), K)
    (bound,) = torch.autograd.grad(gram_bound(K, size, stride, iterations=12).sum(), K)
    torch.testing.assert_close(bound, exact, rtol=0, atol=1e-9)


def test_zero_filter_has_a_finite_gradient():
    K = torch.zeros(2, 2, 3, 3, requires_grad=True)
    bound = gram_bound(K, (4, 4))
    bound.backward()
    assert K.grad is not None
    assert bool(torch.isfinite(K.grad).all())
    assert float(bound.detach()) < 1e-15


@pytest.mark.parametrize("shape", [(2, 3, 3, 3), (2, 3)])
def test_a_filter_of_zeros_can_be_trained_in_its_ball(shape):
    K = torch.zeros(shape, requires_grad=True)
    ball = NormBall(1.0, (4, 6))(K)
    gradient = torch.randn(shape)
    ball.backward(gradient)
    assert torch.equal(ball, torch.zeros(shape))
    assert torch.equal(K.grad, gradient)


@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_norm_ball_keeps_the_filter_inside_and_small_filters_as_they_are(stride):
    torch.manual_seed(6)
    layer = norm_ball(PeriodicConv2d(4, 8, stride=stride), 2**0.5, (8, 6), stride)
    original = layer.parametrizations.weight.original
    assert float(conv_norm(original, (8, 6), stride)) > 2**0.5
    for _ in range(20):
        original.copy_(torch.randn_like(original) * 10 ** float(torch.randn(())))
        norm = float(conv_norm(layer.weight, (8, 6), stride))
        assert norm <= 2**0.5
        if float(gram_bound(original, (8, 6), stride)) <= 2**0.5:
            assert torch.equal(layer.weight, original)
        else:
            assert norm > 2**0.5 * 0.99
    original.mul_(1e-3)
    assert torch.equal(layer.weight, original)


def test_training_under_the_constraint():
    """Gradient descent towards a filter outside of the ball ends on the sphere."""
    torch.manual_seed(7)
    layer = norm_ball(PeriodicConv2d(2, 2), 1.0, (4, 4))
    target = 3 * torch.randn(2, 2, 3, 3)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = (layer.weight - target).square().sum()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        assert float(conv_norm(layer.weight.detach(), (4, 4))) <= 1
    assert losses[-1] < 0.99 * losses[0]
    assert float(conv_norm(layer.weight.detach(), (4, 4))) > 0.99
    parametrize.remove_parametrizations(layer, "weight")
    assert float(conv_norm(layer.weight.detach(), (4, 4))) <= 1


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="radius"):
        norm_ball(PeriodicConv2d(2, 2), 0.0, (4, 4))
    with pytest.raises(InputError, match="weight"):
        norm_ball(torch.nn.BatchNorm2d(2), 1.0, (4, 4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("n", "allowed"), [(1, 4 + 64 + 5), (3, 4 + 64 + 13 * 3)])
def test_the_allowance_for_rounding_is_that_of_the_analysis(n, allowed, dtype):
    """One tap 1 on one pixel: the norm is 1 and all steps are exact, so that it alone is left.

    In units of eps: 4·(sides of the symbol) + 64 for the iteration, (n² + 4) n for the symbol.
    """
    K = torch.zeros(1, 1, n, n, dtype=dtype)
    K[..., n // 2, n // 2] = 1
    eps = torch.finfo(dtype).eps
    for t in (0, 6):
        excess = (float(gram_bound(K, (1, 1), iterations=t)) - 1) / eps
        assert excess == pytest.approx(allowed, abs=2)
    wide = torch.zeros(2, 3, 1, 1, dtype=dtype)
    wide[0, 0] = 1
    excess = (float(gram_bound(wide, (1, 1))) - 1) / eps
    assert excess == pytest.approx(4 * 2 * 3 + 64 + 5, abs=2)


def test_the_ball_leaves_room_for_the_rounding_of_its_result():
    """One tap 8, scaled to 1: by 73 eps of the bound and 2 of the entries less."""
    layer = norm_ball(PeriodicConv2d(1, 1, 1), 1.0, (1, 1))
    with torch.no_grad():
        layer.parametrizations.weight.original.fill_(8.0)
    eps = torch.finfo(torch.float32).eps
    assert (1 - float(layer.weight.detach())) / eps == pytest.approx(75, abs=2)
    layer = norm_ball(PeriodicConv2d(1, 1, 3), 1.0, (1, 1))
    with torch.no_grad():
        original = layer.parametrizations.weight.original
        original.zero_()[..., 1, 1] = 8.0
    room = (1 - float(layer.weight.detach().sum())) / eps
    assert room == pytest.approx(4 + 64 + 13 * 3 + 2 * 3, abs=2)
    linear = norm_ball(torch.nn.Linear(1, 1), 1.0)
    with torch.no_grad():
        linear.parametrizations.weight.original.fill_(8.0)
    assert (1 - float(linear.weight.detach())) / eps == pytest.approx(2, abs=1)


def test_a_ball_says_what_it_is_and_takes_any_positive_radius():
    assert repr(NormBall(0.5)) == "NormBall(radius=0.5, size=(1, 1), stride=1)"
    layer = norm_ball(PeriodicConv2d(2, 2), 1e-6, (4, 6))
    assert 0.99e-6 < float(conv_norm(layer.weight.detach(), (4, 6))) <= 1e-6
    ball = norm_ball(PeriodicConv2d(2, 2), 1.0, (1, 1)).parametrizations.weight[0]
    assert (ball.size, ball.stride) == ((1, 1), 1)
    with pytest.raises(InputError, match="positive size"):
        norm_ball(PeriodicConv2d(2, 2), 1.0, (0, 4))


def test_the_symbol_against_its_formula():
    """Every frequency and alias, for strides of their own along rows and columns."""
    torch.manual_seed(8)
    K, (h, w), (s, t) = random_filter(3, 2, 3, 3), (6, 8), (3, 2)
    blocks = symbol(K, (h, w), (s, t))
    assert blocks.shape == ((h // s) * (w // t // 2 + 1), 3, s * t * 2)
    for k in range(h // s):
        for m in range(w // t // 2 + 1):
            columns = []
            for x in range(s):
                for y in range(t):
                    row, column = (k + x * h / s) / h, (m + y * w / t) / w
                    turns = [[a * row + b * column for b in (-1, 0, 1)] for a in (-1, 0, 1)]
                    angles = -2j * torch.pi * torch.tensor(turns, dtype=torch.float64)
                    phases = angles.exp() / (s * t) ** 0.5
                    columns.append((K * phases).sum((-2, -1)))
            expected = torch.cat(columns, 1)
            found = blocks[k * (w // t // 2 + 1) + m]
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_where_matrices_may_be_rounded_the_bound_is_computed_in_float64():
    K = torch.randn(4, 4, 3, 3)
    before = torch.get_float32_matmul_precision()
    assert gram_bound(K, (4, 4)).dtype == torch.float32
    try:
        torch.set_float32_matmul_precision("high")
        assert gram_bound(K, (4, 4)).dtype == torch.float64
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_bound_of_the_norm_is_marked_exact_only_where_it_is():
    K = random_filter(2, 2, 3, 3)
    for size, exact in (((4, 6), True), ((4, 5), False), ((5, 4), False), ((5, 5), False)):
        bound, found = conv_norm_bound(K, size, 2)
        assert found is exact
        strides = tuple(2 if n % 2 == 0 else 1 for n in size)
        assert bound == conv_norm(K, size, strides)


@pytest.mark.parametrize(("matrix", "iterations"), [(True, 10), (False, 6)])
def test_a_ball_takes_the_iterations_that_its_filter_needs(matrix: bool, iterations: int):
    """Equal singular values are the slowest case: after t steps the bound is 16^{1/2^{t+1}}."""
    Q = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64)).Q
    K = NormBall(1.0, (4, 4))(Q if matrix else Q[..., None, None])
    left = float(torch.linalg.matrix_norm(K.reshape(16, 16), 2))
    assert left == pytest.approx(16 ** (-1 / 2 ** (iterations + 1)), rel=1e-10)
