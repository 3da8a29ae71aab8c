"""The operators against dense matrices, inner products and PyTorch's own functions."""

import pytest
import torch
import torch.nn.functional as F
from builders import dense

from forward_stability.errors import InputError
from forward_stability.operators import (
    adjoint_filter,
    batch_norm_affine,
    conv,
    conv_adjoint,
    conv_matrix,
    global_pool,
    pad_channels,
    periodic_fold,
    periodic_pad,
    pool2,
    pool2_norm,
    vec,
)

SIZES = [(8, 8), (5, 7), (6, 9), (3, 3), (2, 5), (4, 2), (1, 1)]
CASES = [(size, n) for size in SIZES for n in (1, 3, 5) if n // 2 <= min(size)]


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_vec_counts_as_definition_1():
    x = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    X = vec(x)
    for k in range(2):
        for i in range(3):
            for j in range(4):
                assert X[k * 12 + i * 4 + j] == x[k, i, j]


@pytest.mark.parametrize(("size", "n"), CASES)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv_is_its_matrix_and_the_adjoint_is_the_transpose(size, n, stride):
    torch.manual_seed(0)
    K, x = random(4, 3, n, n), random(2, 3, *size)
    A, y = conv_matrix(K, size, stride), conv(x, K, stride)
    torch.testing.assert_close(vec(y), vec(x) @ A.T, rtol=0, atol=1e-13)
    z = torch.randn_like(y)
    back = conv_adjoint(z, K, size, stride)
    torch.testing.assert_close(vec(back), vec(z) @ A, rtol=0, atol=1e-13)
    # ⟨K * x, z⟩ = ⟨x, adjoint(z)⟩, relative to the norms that enter.
    scale = float(y.norm() * z.norm())
    assert abs(float((y * z).sum() - (x * back).sum())) <= 1e-12 * scale


@pytest.mark.parametrize(("size", "n"), CASES)
def test_adjoint_filter_is_the_adjoint(size, n):
    torch.manual_seed(1)
    K, y = random(4, 3, n, n), random(2, 4, *size)
    expected = conv_adjoint(y, K, size)
    torch.testing.assert_close(conv(y, adjoint_filter(K)), expected, rtol=0, atol=1e-13)


def test_conv_matrix_is_block_circulant():
    A = conv_matrix(random(2, 3, 3, 3), (4, 5)).reshape(2, 4, 5, 3, 4, 5)
    shifted = A.roll((1, 1), (1, 4)).roll((1, 1), (2, 5))
    assert torch.equal(A, shifted)


@pytest.mark.parametrize("p", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_periodic_pad_equals_circular_pad_and_keeps_the_layout(p, dtype):
    x = torch.randn(2, 4, 3, 5, dtype=dtype).to(memory_format=torch.channels_last)
    padded = periodic_pad(x, p)
    assert torch.equal(padded, F.pad(x, (p, p, p, p), mode="circular"))
    assert padded.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("p", [0, 1, 2, 3])
def test_periodic_fold_is_the_adjoint_and_each_is_the_gradient_of_the_other(p):
    x, y = random(2, 3, 3, 5).requires_grad_(), random(2, 3, 3 + 2 * p, 5 + 2 * p).requires_grad_()
    fold = periodic_fold(y, p)
    reference = F.pad(x, (p, p, p, p), mode="circular")
    assert torch.equal(periodic_pad(x, p), reference)
    (expected,) = torch.autograd.grad(reference, x, y)
    torch.testing.assert_close(fold, expected, rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(lambda x: periodic_pad(x, p), x)
    assert torch.autograd.gradcheck(lambda y: periodic_fold(y, p), y)
    assert torch.autograd.gradgradcheck(lambda x: periodic_pad(x, p).square(), x)


@pytest.mark.parametrize(("d1", "d2"), [(1, 2), (3, 6), (3, 8), (4, 4), (2, 5)])
def test_pad_channels_preserves_norms_and_puts_the_channels_in_the_middle(d1, d2):
    x = random(2, d1, 3, 4)
    y = pad_channels(x, d2)
    d = (d2 - d1) // 2
    assert torch.equal(y[:, d : d + d1], x)
    assert float(y.abs().sum()) == pytest.approx(float(x.abs().sum()), rel=1e-14)
    for p in (1, 2, 3, torch.inf):
        expected = torch.linalg.vector_norm(x, p)
        torch.testing.assert_close(torch.linalg.vector_norm(y, p), expected, rtol=1e-14, atol=0)
    E = dense(lambda x: pad_channels(x, d2), d1, 2, 2)
    assert torch.equal(E.T @ E, torch.eye(4 * d1, dtype=torch.float64))


@pytest.mark.parametrize("size", [*SIZES, (1, 4), (7, 1)])
def test_pool2_is_the_mean_of_squares_with_zeros_outside(size):
    h, w = size
    x = random(2, 3, h, w)
    y = pool2(x)
    assert y.shape == (2, 3, (h + 1) // 2, (w + 1) // 2)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            square = x[..., 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum((-2, -1)) / 4
            torch.testing.assert_close(y[..., i, j], square, rtol=0, atol=1e-15)
    norm = torch.linalg.matrix_norm(dense(pool2, 2, h, w), 2)
    assert float(norm) == pytest.approx(pool2_norm(size), rel=1e-14)
    assert pool2_norm(size) <= 0.5


@pytest.mark.parametrize("size", SIZES)
def test_global_pool_has_norm_one_over_the_square_root_of_the_pixels(size):
    norm = torch.linalg.matrix_norm(dense(global_pool, 3, *size), 2)
    assert float(norm) == pytest.approx((size[0] * size[1]) ** -0.5, rel=1e-14)
    assert torch.equal(global_pool(torch.ones(1, 3, *size)), torch.ones(1, 3))


def test_batch_norm_is_an_affine_map():
    torch.manual_seed(2)
    bn = torch.nn.BatchNorm2d(5).double()
    for values in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
        assert values is not None
        values.data.uniform_(0.5, 2)
    bn.weight.data[0] *= -1
    scale, shift = batch_norm_affine(bn)
    x = random(3, 5, 4, 4)
    expected = x * scale[:, None, None] + shift[:, None, None]
    torch.testing.assert_close(bn.eval()(x), expected, rtol=0, atol=1e-14)
    plain = torch.nn.BatchNorm2d(5, affine=False)
    scale, shift = batch_norm_affine(plain)
    torch.testing.assert_close(scale, torch.full_like(scale, (1 + plain.eps) ** -0.5))
    assert torch.equal(shift, torch.zeros_like(shift))


def test_batch_norm_without_running_statistics_is_refused():
    with pytest.raises(InputError, match="running"):
        batch_norm_affine(torch.nn.BatchNorm2d(3, track_running_stats=False))
    for name in ("running_mean", "running_var"):
        bn = torch.nn.BatchNorm2d(3)
        setattr(bn, name, None)
        with pytest.raises(InputError, match="running"):
            batch_norm_affine(bn)


@pytest.mark.parametrize(
    "call",
    [
        lambda: conv(random(1, 2, 4, 4), random(3, 2, 2, 2)),
        lambda: conv(random(1, 2, 4, 4), random(3, 4, 3, 3)),
        lambda: periodic_pad(random(1, 2, 4, 2), 3),
        lambda: conv_adjoint(random(1, 3, 4, 4), random(3, 2, 3, 3), (9, 9), 2),
        lambda: pad_channels(random(1, 3, 2, 2), 2),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()


def test_messages_say_the_sizes():
    for call, message in (
        (lambda: conv(random(1, 2, 4, 4), random(3, 2, 3, 5)), "n x n with n odd, got 3x5"),
        (lambda: conv(random(1, 2, 4, 4), random(3, 4, 3, 3)), "takes 4 channels.* have 2"),
        (lambda: periodic_pad(random(1, 2, 4, 3), 4), "cannot pad 4x3 pixels periodically by 4"),
        (
            lambda: conv_adjoint(random(1, 3, 4, 5), random(3, 2, 3, 3), (9, 9), 2),
            r"\(5, 5\) pixels",
        ),
        (lambda: pad_channels(random(1, 3, 2, 2), 2), "cannot pad 3 channels to 2"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    x = random(1, 2, 3, 4)
    assert torch.equal(periodic_pad(x, 3)[..., 3:-3, 3:-3], x)
    assert periodic_pad(x, 0) is x
    assert periodic_fold(x, 0) is x
