"""Bounds against exact rationals: whatever the scale, whatever cancels, they are not below."""

from fractions import Fraction
from math import sqrt

import numpy as np
import pytest
import torch
from builders import certifier_of, exact, randn

from forward_stability.certificates import certify, certify_layers
from forward_stability.errors import InputError
from forward_stability.folded_residual import FoldedSymmetric, midpoint
from forward_stability.folding import (
    FoldedConv,
    FoldedFlattening,
    FoldedLinear,
    FoldedPooling,
    FoldedUnshuffling,
    features,
    with_error,
)
from forward_stability.models import Network
from forward_stability.operators import conv_matrix
from forward_stability.radius import certifier
from forward_stability.rounding import (
    Ball,
    U,
    gamma,
    largest_bound,
    matrix_bound,
    power_of_two,
    roots_of_unity,
    spectral_bound,
)
from forward_stability.spectral import conv_norm, gram_bound, proven_norm, proven_symbol


def is_upper_bound(bound: float, A: np.ndarray) -> bool:
    """Whether bound² I − AᵀA is positive semidefinite, by elimination with fractions."""
    M = -A.T @ A
    for i in range(len(M)):
        M[i, i] += Fraction(bound) ** 2
    n = len(M)
    for k in range(n):
        if M[k, k] < 0 or (M[k, k] == 0 and any(M[k, j] != 0 for j in range(n))):
            return False
        for i in range(k + 1, n):
            if M[k, k] != 0 and M[i, k] != 0:
                M[i] = M[i] - M[k] * (M[i, k] / M[k, k])
    return True


def test_the_elimination_tells_a_bound_from_a_number_below():
    A = exact(torch.tensor([[3.0, 0.0], [4.0, 5.0]]).double())
    assert is_upper_bound(sqrt(45) * (1 + 1e-15), A)
    assert not is_upper_bound(sqrt(45) * (1 - 1e-15), A)


@pytest.mark.parametrize("scale", [1.0, 1e-320, 1e-300, 1e-170, 1e170, 1e300])
def test_the_norm_of_a_matrix_is_bounded_at_every_scale(scale):
    torch.manual_seed(0)
    for shape in ((1, 1), (2, 2), (3, 2), (2, 4), (4, 4)):
        for kind in range(3):
            A = randn(*shape)
            A = torch.ones(shape).double() if kind == 1 else A
            A = A[:1].expand(shape) + 1e-9 * A if kind == 2 else A
            A = A * scale
            bound = matrix_bound(A)
            assert is_upper_bound(bound, exact(A))
            largest = float((A / power_of_two(A)).norm()) * power_of_two(A)
            assert bound <= largest * (1 + 1e-13) + 1e-323
            if scale >= 1e-300:
                s = power_of_two(A)
                norm = float(torch.linalg.matrix_norm(A / s, 2)) * s
                assert bound == pytest.approx(norm, rel=1e-13)


def test_all_zeros_have_the_norm_zero_and_no_number_is_refused():
    assert matrix_bound(torch.zeros(2, 3).double()) == 0
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(InputError, match="not finite"):
            matrix_bound(torch.tensor([[1.0, bad]]).double())


def test_equal_singular_values_and_single_rows():
    torch.manual_seed(1)
    Q = torch.linalg.qr(torch.randn(64, 64, dtype=torch.complex128)).Q
    assert 1 <= float(spectral_bound(Q)) <= 1 + 2e-12
    rows = torch.randn(5, 1, 7, dtype=torch.complex128)
    expected = float(torch.linalg.vector_norm(rows, dim=(1, 2)).max())
    assert largest_bound(rows) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 12, 32, 97])
def test_roots_of_unity_are_those_of_exact_arithmetic(n):
    """|w|² = 1 and w_j w_k = w_{j+k}, in fractions, up to the rounding of the entries."""
    cosines, sines = (exact(x) for x in roots_of_unity(n))
    assert (float(cosines[0]), float(sines[0])) == (1.0, 0.0)
    for k in range(n):
        assert abs(cosines[k] ** 2 + sines[k] ** 2 - 1) <= 4 * Fraction(U)
        j = (7 * k + 1) % n
        real = cosines[k] * cosines[j] - sines[k] * sines[j]
        imaginary = sines[k] * cosines[j] + cosines[k] * sines[j]
        assert abs(real - cosines[(j + k) % n]) <= 6 * Fraction(U)
        assert abs(imaginary - sines[(j + k) % n]) <= 6 * Fraction(U)
    if n > 2:
        assert float(cosines[1]) == pytest.approx(np.cos(2 * np.pi / n), abs=3e-16)
        assert sines[1] > 0


def test_filters_that_cancel_on_one_pixel():
    """The nine taps add up to almost nothing, which a relative error of the norm cannot cover."""
    torch.manual_seed(2)
    below = 0
    for _ in range(300):
        K = randn(1, 1, 3, 3)
        K[0, 0, 2, 2] -= K.sum() * (1 - 1e-9 * float(torch.rand(())))
        norm = abs(sum(exact(K).flatten()))
        assert norm <= Fraction(proven_norm(K, (1, 1)))
        below += Fraction(float(conv_norm(K, (1, 1)))) < norm
        assert proven_norm(K, (1, 1)) <= float(norm) + gamma(80) * float(K.abs().sum())
    assert below > 50  # the computed norm alone is no bound


@pytest.mark.parametrize(("size", "stride"), [((2, 2), 1), ((1, 3), 1), ((2, 4), 2), ((2, 2), 2)])
def test_convolutions_against_dense_matrices_in_fractions(size, stride):
    torch.manual_seed(3)
    for trial in range(10):
        out, into, n = 1 + trial % 2, 1 + trial % 3 // 2, (1, 3, 5)[trial % 3]
        K = randn(out, into, n, n) * 10.0 ** (trial - 5)
        A = exact(conv_matrix(torch.ones_like(K), size, stride) * 0)
        single = torch.zeros_like(K)
        for index in np.ndindex(*K.shape):  # each tap by itself: nothing is added in floats
            single.zero_()[index] = 1
            A = A + exact(conv_matrix(single, size, stride)) * Fraction(float(K[index]))
        bound = proven_norm(K, size, stride)
        assert is_upper_bound(bound, A)
        assert bound == pytest.approx(float(conv_norm(K, size, stride)), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e-155, 1e155, 1e170, 1e300])
def test_norms_of_convolutions_at_every_scale(scale):
    torch.manual_seed(4)
    K = randn(2, 3, 3, 3)
    for found in (float(conv_norm(K * scale, (4, 5))), proven_norm(K * scale, (4, 5))):
        assert found == pytest.approx(float(conv_norm(K, (4, 5))) * scale, rel=1e-12)
    assert float(gram_bound(K * scale, (4, 5))) >= proven_norm(K * scale, (4, 5)) * (1 - 1e-12)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1e20, 1e30])
def test_the_bound_for_training_holds_in_float32_at_every_scale(scale):
    torch.manual_seed(5)
    for _ in range(20):
        K = (torch.randn(2, 2, 3, 3) * scale).requires_grad_()
        bound = gram_bound(K, (3, 4))
        value = float(bound.detach())
        assert value >= proven_norm(K.detach().double(), (3, 4)) * (1 - 1e-12)
        (gradient,) = torch.autograd.grad(bound, K)
        assert bool(torch.isfinite(gradient).all())
        assert float((gradient * K.detach()).sum()) == pytest.approx(value, rel=0.05)


def test_balls_contain_products_and_differences():
    """Of matrices within the balls, in fractions."""
    torch.manual_seed(6)
    for _ in range(30):
        centres = [randn(1, 3, 3) for _ in range(2)]
        A, B = (Ball(c, torch.tensor([1e-14], dtype=torch.float64)) for c in centres)
        moved = [exact(c[0]) for c in centres]
        for M in moved:
            M[0, 1] += Fraction(1, 10**14)
        product = A @ B
        gap = moved[0] @ moved[1] - exact(product.centre[0])
        assert (gap**2).sum() <= Fraction(float(product.radius)) ** 2
        rest = product.from_identity(0.5)
        eye = np.vectorize(Fraction)(np.eye(3, dtype=int))
        gap = eye - moved[0] @ moved[1] / 2 - exact(rest.centre[0])
        assert (gap**2).sum() <= Fraction(float(rest.radius)) ** 2
        assert is_upper_bound(rest.norm(), eye - moved[0] @ moved[1] / 2)


def test_the_error_of_a_symbol_covers_its_rounding():
    K = randn(2, 2, 3, 3)
    ball = proven_symbol(K, (1, 1))
    gap = exact(ball.centre[0].real) - exact(K).sum((-2, -1))
    assert (gap**2).sum() <= Fraction(float(ball.radius[0])) ** 2
    assert float(ball.radius[0]) < 1e-13


def hostile() -> Network:
    """ResNet-S with a tiny γ, whose growth Eq. 55 does not bound."""
    network = Network("S", 1, 1, 1, 4).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.layers[-1].weight.copy_(0.99 * torch.eye(4))
        layer = network.layers[1]
        layer.conv.weight[0, 0, 1, 1:] = torch.tensor([0.6, -0.8])
        layer.bn1.bias.fill_(5.0)
        layer.bn2.running_var.fill_(1e-4)
    return network


@pytest.mark.parametrize("gamma1", [0.01, 0.0, 1e-9])
@torch.no_grad()
def test_growth_of_a_folded_resnet_s_is_that_of_its_true_offset(gamma1):
    """c of Eq. 55 is below ‖f(0)‖ and not called proven; the corrected one is above and is."""
    network = hostile()
    network.layers[1].bn1.weight.fill_(gamma1)
    report = certify(network, (4, 4))
    zero = network.get_buffer("mean")[None].expand(1, 1, 4, 4)
    attained = float(network.features(zero)[2].norm())
    assert report.hypotheses_hold
    layer = report.layers[1]
    assert attained > 5 * (sqrt(2) * layer.biases["b1"] + layer.biases["b2"])
    assert not report["printed"].c_proven
    assert report["corrected"].c_proven
    assert layer.offset >= attained
    assert report["corrected"].c >= float(network(zero).norm())


@pytest.mark.parametrize("exponent", [20, 40, 52])
def test_hidden_units_that_dwarf_the_features(exponent):
    """A = I, b1 = b2 = 2^e: a layer that gives back x, after it has rounded it to 2^(e − 53)."""
    torch.manual_seed(7)
    big, one = torch.full((4,), 2.0**exponent).double(), torch.ones(4).double()
    eye = torch.eye(4)[..., None, None].double()
    layers = [
        FoldedConv(eye, 0 * one),
        FoldedSymmetric(eye, big, big, one, one),
        FoldedFlattening(),
        FoldedLinear(torch.eye(4).double(), 0 * one),
    ]
    certificate, wrong = certifier_of(layers, (1, 1)), 0
    x = 0.5 + 2.0 ** (exponent - 51) * randn(400, 4, 1, 1)
    x = x.clamp(0, 1)
    for label in range(4):
        scores, R = certificate.radii(x, torch.full((400,), label))
        for k in range(400):
            v = exact(x[k].flatten())
            y = [max(a - max(a + 2**exponent, 0) + 2**exponent, 0) for a in v]
            is_answer = all(y[label] > y[j] for j in range(4) if j != label)
            assert is_answer or float(R[k]) == 0
            wrong += int(scores[k].argmax()) == label and not is_answer
    assert wrong > 0 or exponent == 20


def test_a_network_of_zeros_has_radius_zero_and_one_without_weights_an_infinite_one():
    network = Network("S", 1, 2, 1, 3, batch_norm=False, flatten=(4, 4)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    x = torch.rand(2, 1, 4, 4)
    _, R = certifier(network, (4, 4)).radii(x, torch.tensor([0, 1]))
    assert R.tolist() == [0.0, 0.0]
    with torch.no_grad():
        network.layers[-1].bias[1] = 1
    _, R = certifier(network, (4, 4)).radii(x, torch.tensor([0, 1]))
    assert R.tolist() == [0.0, float("inf")]


def test_errors_of_layers_cover_what_exact_arithmetic_says():
    """Each layer for random inputs, its weights of all magnitudes, in fractions."""
    torch.manual_seed(8)
    d, size = 2, (2, 2)
    for trial in range(12):
        scale = 10.0 ** (trial % 4)
        b1, b2 = scale * randn(d), scale * randn(d)
        K1, K2 = randn(d, d, 3, 3), randn(d, d, 3, 3)
        x = scale * randn(1, d, *size)
        M1, M2 = (exact_conv(K, size) for K in (K1, K2))
        for layer, dense in (
            (FoldedConv(K1, b1), lambda v, M1=M1, b1=b1: M1 @ v + spread(b1, 4)),
            (
                FoldedSymmetric(K1, b1, b2, torch.ones(d).double(), torch.ones(d).double(), False),
                lambda v, M1=M1, b1=b1, b2=b2: (
                    v - M1.T @ positive(M1 @ v + spread(b1, 4)) + spread(b2, 4)
                ),
            ),
            (
                FoldedUnshuffling(W := randn(3, 4 * d), b := scale * randn(3)),
                lambda v, W=W, b=b: exact(W) @ v + exact(b),
            ),
        ):
            gap = exact(layer(x).flatten()) - dense(exact(x.flatten()))
            assert (abs(gap) <= exact(layer.error(x).flatten())).all()
        del M2
    pooling = FoldedPooling(randn(2 * d, d, 3, 3), randn(2 * d))
    assert bool((pooling.error(x) >= 0).all())
    assert pooling.error(x).shape == pooling(x).shape


def exact_conv(K: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    A = exact(conv_matrix(torch.zeros_like(K), size))
    single = torch.zeros_like(K)
    for index in np.ndindex(*K.shape):
        single.zero_()[index] = 1
        A = A + exact(conv_matrix(single, size)) * Fraction(float(K[index]))
    return A


def spread(b: torch.Tensor, pixels: int) -> np.ndarray:
    return exact(b.repeat_interleave(pixels))


def positive(v: np.ndarray) -> np.ndarray:
    return np.array([max(entry, Fraction(0)) for entry in v])


def test_an_error_of_the_input_is_carried_by_the_constants():
    torch.manual_seed(9)
    layers = [FoldedConv(randn(2, 1, 3, 3), randn(2)), FoldedConv(randn(2, 2, 3, 3), randn(2))]
    constants = [r.best for r in certify_layers(layers, (4, 4)).layers]
    x = randn(3, 1, 4, 4)
    y, error = with_error(layers, x, constants, start=1e-6)
    other = features(layers, x * (1 + 1e-6))[-1]
    assert bool(((other - y).flatten(1).norm(dim=1) <= error).all())
    assert bool((error < 1e-3).all())
    assert bool((with_error(layers, x, constants)[1] < 1e-12).all())


def test_midpoint_is_a_bound_at_every_scale():
    torch.manual_seed(10)
    K1, K2 = randn(1, 1, 1, 1), randn(1, 1, 1, 1)
    for scale in (1e-160, 1e-3, 1.0, 1e150):
        a = Fraction(float(K1 * scale)) * Fraction(float(K2 / scale))
        bound = midpoint(K1 * scale, K2 / scale, (1, 1), float(abs(a)) * (1 + 1e-15))
        assert max(abs(1 - a), 1) <= Fraction(bound)
        assert bound == pytest.approx(float(max(abs(1 - a / 2) + abs(a) / 2, 1)), rel=1e-12)


def test_a_ball_is_positive_if_every_matrix_in_it_is():
    centre = torch.diag(torch.tensor([2.0, 3.0])).to(torch.complex128)[None]
    assert Ball(centre, torch.tensor([1.1]).double()).is_positive()
    assert not Ball(centre, torch.tensor([2.1]).double()).is_positive()
