r"""Exact singular values of periodic convolutions, and a norm constraint for training.

The Fourier transform takes the block-circulant matrix A of a filter apart into one small matrix
for each frequency, its symbol: out x in for stride 1; for stride s the s² frequencies that fall
onto one another ("aliased") stand side by side. The singular values of A are those of all symbols
together. Chapter 7.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from forward_stability.errors import InputError
from forward_stability.geometry import conv_geometry, square
from forward_stability.rounding import (
    Ball,
    U,
    frobenius,
    gamma,
    power_of_two,
    rescaled,
    roots_of_unity,
)


def symbol(K: Tensor, size: tuple[int, int], stride: int | tuple[int, int] = 1) -> Tensor:
    r"""The Fourier symbol of x ↦ K * x at half of its frequencies; the other half is conjugate.

    For stride 1 and the frequency (k, l), with p = (n − 1)/2,

    .. math:: \hat A(k, l) = \sum_{a, b} K_{ab}\, e^{-2πi ((a - p) k / h + (b - p) l / w)}.

    For stride s the symbols at (k + αh/s, l + βw/s), α, β = 0, …, s − 1, stand side by side,
    divided by s. The frequencies are k = 0, …, h/s − 1 and l = 0, …, ⌊w/(2s)⌋.

    Args:
        K: filters, shape ``(..., out, in, n, n)``; n may exceed the image, which it then wraps.
        size: the height h and width w of x.
        stride: s, or one for the rows and one for the columns, which must divide h and w.

    Returns:
        complex, shape ``(..., frequencies, out, s² in)``. A is unitarily equivalent to the
        block-diagonal matrix of these blocks and of the conjugates of those with 0 < l < w/(2s).

    Raises:
        InputError: if the stride does not divide the size.

    Source: Definitions 2 and 3; Sedghi, Gupta & Long (2019). Chapter 7.
    """
    (h, w), (s, t) = size, (stride, stride) if isinstance(stride, int) else stride
    if h % s or w % t:
        raise InputError(
            f"the stride {s}x{t} does not divide the size {h}x{w}, so there is no symbol; "
            "conv_norm_bound gives an upper bound of the norm"
        )
    n = K.shape[-1]
    phases = _phases(h, w, s, t, n, torch.complex(K, K).dtype, K.device)
    taps = torch.complex(K, torch.zeros_like(K)).flatten(-2)
    return torch.einsum("fan,...oin->...foai", phases, taps).flatten(-2)


@lru_cache(maxsize=64)
def _phases(
    h: int, w: int, s: int, t: int, n: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """What multiplies each tap, shape (frequencies, aliases, taps); the same in every step."""
    rows, columns = _waves(h, s, n, h // s), _waves(w, t, n, w // t // 2 + 1)
    phases = torch.einsum("kxa,lyb->klxyab", rows, columns) / (s * t) ** 0.5
    return phases.flatten(4).flatten(2, 3).flatten(0, 1).to(device, dtype)


def _waves(size: int, stride: int, n: int, count: int) -> Tensor:
    """exp(−2πi (a − p) k / size), shape (count, stride, n): frequency, alias, tap."""
    k = torch.arange(count)[:, None] + (size // stride) * torch.arange(stride)
    turns = (k[..., None] * (torch.arange(n) - n // 2)) % size
    cosines, sines = roots_of_unity(size)
    return torch.complex(cosines[turns], -sines[turns])


def conv_singular_values(K: Tensor, size: tuple[int, int], stride: int = 1) -> Tensor:
    r"""All singular values of the convolution's matrix A, largest first.

    Args:
        K: the filter, shape ``(out, in, n, n)``; computed in float64.
        size: the height and width of x.
        stride: must divide both.

    Returns:
        float64, shape ``(min(out · hw/s², in · hw),)``: as many as the dense matrix has.

    Raises:
        InputError: if the stride does not divide the size.

    Source: the norms of Theorems 5 and 6. Chapter 7.
    """
    columns = size[1] // stride
    values = torch.linalg.svdvals(symbol(K.double(), size, stride))
    values = values.unflatten(0, (-1, columns // 2 + 1))
    mirrored = values[:, 1 : (columns + 1) // 2]
    return torch.cat([values.flatten(), mirrored.flatten()]).sort(descending=True).values


def conv_norm(K: Tensor, size: tuple[int, int], stride: int | tuple[int, int] = 1) -> Tensor:
    r"""The operator norm :math:`\|A\|_2` of the convolution, up to rounding in float64.

    The largest eigenvalue of the smaller Gram matrix of each symbol, over all frequencies. What
    rounding costs is proportional to :math:`\sum |K|`, which is much where the taps cancel;
    :func:`proven_norm` accounts for it.

    Args:
        K: filters, shape ``(..., out, in, n, n)``; computed in float64.
        size: the height and width of x.
        stride: must divide both.

    Returns:
        float64, shape ``(...)``; differentiable where the largest singular value is simple.

    Raises:
        InputError: if the stride does not divide the size; see :func:`conv_norm_bound`.

    Source: Eqs. 20a, 23a, 24, 51 and 57. Chapter 7.
    """
    K, scale = _scaled(K.double())
    return block_norm(symbol(K, size, stride)) * scale


def _scaled(K: Tensor) -> tuple[Tensor, Tensor]:
    """Filters divided by powers of two so that their largest entries are about 1, and these.

    The division is exact; without it, squares would leave the range of the numbers.
    """
    largest, limit = (
        K.detach().abs().amax((-4, -3, -2, -1)),
        1021 if K.dtype == torch.float64 else 125,
    )
    exponent = torch.frexp(largest)[1].clamp(-limit, limit)
    scale = torch.ldexp(torch.ones_like(largest), exponent)
    return K / scale[..., None, None, None, None], scale


def proven_symbol(K: Tensor, size: tuple[int, int], stride: int | tuple[int, int] = 1) -> Ball:
    r"""The symbol with a bound of its rounding errors.

    A tap is multiplied by a root of unity that is off by 10 u at most, and n² of them are added:

    .. math:: \|\hat A_{computed} - \hat A\|_F \le \gamma_{2n^2 + 24} \, \bigl\|\sum |K|\bigr\|_F .

    The 8 units more are for entries of K that were rounded a few times themselves.

    Args:
        K: one filter, float64, entries about 1 in size, shape ``(out, in, n, n)``.
        size: the height and width of x.
        stride: must divide both.

    Source: chapter 15.
    """
    n, centre = K.shape[-1], symbol(K, size, stride)
    radius = gamma(2 * n * n + 24) * frobenius(K.abs().sum((-2, -1)))
    return Ball(centre, radius.expand(centre.shape[:-2]))


def proven_norm(K: Tensor, size: tuple[int, int], stride: int | tuple[int, int] = 1) -> float:
    """An upper bound of the norm of the convolution that no rounding can break.

    Args:
        K: one filter, float64, of any scale, shape ``(out, in, n, n)``.
        size: the height and width of x.
        stride: s; where it does not divide the size, the norm without it is bounded.

    Returns:
        above the exact norm, by a relative 1e-12 or so where the taps do not cancel.

    Raises:
        InputError: if an entry is not finite.

    Source: :mod:`~forward_stability.rounding`. Chapter 15.
    """
    scale = power_of_two(K)
    return rescaled(proven_symbol(K / scale, size, dividing(stride, size)).norm(), scale)


def dividing(stride: int | tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The stride along rows and columns, 1 where it does not divide the size."""
    s, t = (stride, stride) if isinstance(stride, int) else stride
    return s if size[0] % s == 0 else 1, t if size[1] % t == 0 else 1


def block_norm(blocks: Tensor) -> Tensor:
    """The largest singular value of complex blocks of shape (..., frequencies, rows, columns)."""
    return torch.linalg.eigvalsh(_gram(blocks))[..., -1].amax(-1).clamp_min(0).sqrt()


def _gram(G: Tensor) -> Tensor:
    """The smaller one of G Gᴴ and Gᴴ G."""
    return G @ G.mH if G.shape[-2] <= G.shape[-1] else G.mH @ G


def conv_norm_bound(K: Tensor, size: tuple[int, int], stride: int = 1) -> tuple[Tensor, bool]:
    r"""The norm of the convolution, or an upper bound where there is no exact formula.

    Taking every s-th row of the output never increases its norm. So where the stride does not
    divide the height (or the width) of x, the norm without that stride is an upper bound.

    Args:
        K: filters, shape ``(..., out, in, n, n)``.
        size: the height and width of x.
        stride: s.

    Returns:
        the norm or bound, float64, and whether it is exact.

    Source: chapter 7.
    """
    s, t = dividing(stride, size)
    return conv_norm(K, size, (s, t)), s == t == stride


def gram_bound(
    K: Tensor,
    size: tuple[int, int],
    stride: int | tuple[int, int] = 1,
    iterations: int = 6,
) -> Tensor:
    r"""A differentiable upper bound of the norm of the convolution, for training.

    Gram iteration on each symbol G: :math:`\|G\|_2 = \|G^H G\|_2^{1/2}`, and the Frobenius norm
    bounds the spectral norm from above, so :math:`\|G\|_2 \le \|G_t\|_F^{1/2^t}` for
    :math:`G_{t+1} = G_t^H G_t`. At most a factor r^{1/2^{t+1}} too large for rank r: 2.2 % after 6
    steps for 16 equal singular values, and within 0.01 % where the largest one is simple. The
    result is enlarged by a bound of the rounding errors of the computation, so that it is not below
    the exact norm in floating point either.

    The gradient is that of the norm, :math:`\nabla \|G\|_2 = u v^H`, with u and v from the last
    iterate: it takes a hundredth of the time of going back through the iterations.

    Args:
        K: filters, shape ``(..., out, in, n, n)``; float64, or else computed in float32.
        size: the height and width of x.
        stride: s; where it does not divide the size, see :func:`conv_norm_bound`.
        iterations: t.

    Returns:
        shape ``(...)``, differentiable in K.

    Source: Delattre, Barthélemy, Araujo & Allauzen (2023). Chapters 7 and 15.
    """
    if K.dtype != torch.float64:
        # Products in TF32 or bfloat16 would break the bound of the rounding errors below.
        exact = torch.get_float32_matmul_precision() == "highest"
        K = K.float() if exact else K.double()
    s, t = dividing(stride, size)
    K, scale = _scaled(K)
    with torch.autocast(K.device.type, enabled=False):
        with torch.no_grad():
            bound, top, u = _gram_iteration(K, symbol(K, size, (s, t)), iterations)
        if not K.requires_grad:
            return bound * scale
        return (bound + _stretch(K, size, (s, t), top, u)) * scale


def _gram_iteration(K: Tensor, G: Tensor, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    """The bound, the frequency of the largest symbol and its top singular vector (shorter side)."""
    short, long = sorted(G.shape[-2:])
    eps, n = torch.finfo(K.dtype).eps, K.shape[-1]
    log = torch.zeros_like(G[..., 0, 0].real)
    for step in range(iterations + 1):
        # Dividing by f keeps the entries near 1, whatever the scale of the filter.
        f = torch.view_as_real(G).flatten(-3)
        f2 = torch.linalg.vecdot(f, f).clamp_min(torch.finfo(K.dtype).tiny)
        log = log + f2.log() / 2 ** (step + 1)
        if step < iterations:
            G = _gram(G)
            torch.view_as_real(G).div_(f2[..., None, None, None])
    largest, top = log.max(-1)
    bound = largest.exp() * (1 + eps * (4 * short * long + 64))
    bound = bound + (n * n + 4) * n * eps * K.flatten(-4).norm(dim=-1)
    G = torch.take_along_dim(G, top[..., None, None, None], -3).squeeze(-3)
    G = _gram(G) if G.shape[-1] != G.shape[-2] else G  # without iterations, G is not square yet
    heaviest = torch.view_as_real(G).square().sum((-3, -1)).argmax(-1)
    u = torch.take_along_dim(G, heaviest[..., None, None], -1).squeeze(-1)
    return bound, top, u / u.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(K.dtype).tiny)


def _stretch(
    K: Tensor, size: tuple[int, int], stride: tuple[int, int], top: Tensor, u: Tensor
) -> Tensor:
    """Zero, with the gradient of the norm of the symbol at one frequency."""
    (h, w), (s, t) = size, stride
    phases = _phases(h, w, s, t, K.shape[-1], u.dtype, K.device)[top]
    taps = torch.complex(K, torch.zeros_like(K)).flatten(-2)
    G = torch.einsum("...an,...oin->...oai", phases, taps).flatten(-2)
    wide = G.shape[-2] <= G.shape[-1]
    image = (G.mH if wide else G) @ u[..., None]
    norm = torch.view_as_real(image).flatten(-3).norm(dim=-1)
    return norm - norm.detach()


class NormBall(nn.Module):
    r"""The parametrization K ↦ K · min(1, r / bound(K)): the norm is at most r, as stored too.

    A matrix W is a filter of one tap on one pixel; its bound is computed in float64.
    :func:`proven_norm` of the result does not exceed r either: beyond what :func:`gram_bound`
    allows for, its own rounding costs less than :math:`32\, u\, n \|K\|_F`.

    Source: Eq. 24 with r = √2, Eqs. 23a and 23b with r = 1. Chapters 10 and 15.
    """

    def __init__(
        self,
        radius: float,
        size: tuple[int, int] = (1, 1),
        stride: int | tuple[int, int] = 1,
    ) -> None:
        super().__init__()
        if not radius > 0:
            raise InputError(f"radius must be positive, got {radius}")
        self.radius, self.size, self.stride = radius, size, stride

    def forward(self, K: Tensor) -> Tensor:
        matrix = K.dim() == 2
        filters = K.double()[..., None, None] if matrix else square(K)
        bound = gram_bound(filters, self.size, self.stride, iterations=10 if matrix else 6)
        # Rounding the entries of the result changes each by a relative eps at most.
        room = 2 * torch.finfo(K.dtype).eps + 32 * U
        bound = bound + room * filters.shape[-1] * filters.norm()
        factor = self.radius / bound.clamp_min(self.radius / 2)  # for K = 0 it has a gradient, too
        return K * factor.clamp_max(1).to(K.dtype)

    def right_inverse(self, K: Tensor) -> Tensor:
        return K

    def extra_repr(self) -> str:
        return f"radius={self.radius:.6g}, size={self.size}, stride={self.stride}"


def norm_ball(
    layer: nn.Module,
    radius: float,
    size: tuple[int, int] | None = None,
    stride: int | None = None,
) -> nn.Module:
    r"""Constrain ``layer.weight`` to filters with :math:`\|A\|_2 \le r` on images of one size.

    Everything else stays: the optimiser changes an unconstrained filter
    (:func:`trained_weight`), and ``layer.weight`` is that filter scaled into the ball whenever it
    is outside. Inside ``torch.nn.utils.parametrize.cached()`` it is computed once.

    An ``nn.Conv2d`` says itself what its stride and its padding are; zero padding is bounded on a
    larger torus (:mod:`~forward_stability.geometry`). Other layers with filters are periodic.

    Args:
        layer: an ``nn.Linear``, an ``nn.Conv2d`` with circular or zero padding, a
            :class:`~forward_stability.layers.PeriodicConv2d`, or a layer of your own that has a
            ``weight`` of shape ``(out, in, n, n)`` or, for a matrix, ``(out, in)``.
        radius: r.
        size: the height and width of the layer's input; for a matrix, it has none.
        stride: of a layer of your own that has no attribute ``stride``.

    Returns:
        the layer.

    Raises:
        InputError: if there is no bound for such a layer, or the radius or size is missing or not
            positive; the layer is unchanged then.

    Source: Eqs. 23 and 24. Chapter 15.
    """
    parametrize.register_parametrization(layer, "weight", _ball(layer, radius, size, stride))
    return layer


def _ball(
    layer: nn.Module, radius: float, size: tuple[int, int] | None, stride: int | None
) -> NormBall:
    weight, others = getattr(layer, "weight", None), type(layer).__mro__
    if not isinstance(weight, Tensor) or weight.dim() not in (2, 4):
        raise InputError("norm_ball needs a layer with a weight of shape (out, in, n, n)")
    theirs = any(c.__module__.startswith("torch.nn.modules") for c in others if c is not nn.Module)
    if theirs and not isinstance(layer, nn.Conv2d | nn.Linear):
        raise InputError(f"norm_ball has no bound for a {others[0].__name__} and its weight")
    if not bool(torch.isfinite(weight).all()):
        raise InputError("norm_ball needs a weight with finite entries")
    if weight.dim() == 2:
        return NormBall(radius)
    if size is None:
        raise InputError("norm_ball needs the height and width of the layer's input")
    if min(size) < 1:
        raise InputError(f"norm_ball needs a positive size of the layer's input, got {size}")
    own = getattr(layer, "stride", None)
    if isinstance(layer, nn.Conv2d):
        geometry = conv_geometry(layer)
        size, own = geometry.torus(size), geometry.stride
        own = own[0] if own[0] == own[1] else own
    if stride is not None and own not in (None, stride):
        raise InputError(f"the layer has the stride {own}, not {stride}: leave the stride out")
    return NormBall(radius, size, own or stride or 1)


def trained_weight(layer: nn.Module) -> nn.Parameter:
    """What the optimiser changes: the weight of a layer, or what a norm ball scales to it."""
    if not parametrize.is_parametrized(layer, "weight"):
        return layer.weight  # type: ignore[return-value]
    return layer.parametrizations["weight"].original  # type: ignore
