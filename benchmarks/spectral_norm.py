"""The norms of all filters of a ResNet-D (m = 12, 32x32 images), by several methods.

    python benchmarks/spectral_norm.py [--repeat 3] [--threads 2] [--out table.json]

One row a method: seconds for all filters (the best of the repeats, which are interleaved over the
methods, since a shared machine is slow at times) and the relative error against the exact norm.
Methods marked ~ are measured on one filter of each kind and multiplied by how often it occurs.
deel-torchlip is used if it is installed: pip install --no-deps --target DIR deel-torchlip, then
PYTHONPATH=DIR.
"""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.parametrizations import spectral_norm

from forward_stability.experiments.provenance import command, environment, hardware
from forward_stability.experiments.storage import write_json
from forward_stability.layers import PeriodicConv2d
from forward_stability.models import Network
from forward_stability.operators import conv, conv_adjoint, conv_matrix
from forward_stability.spectral import conv_norm, gram_bound

Filter = tuple[Tensor, tuple[int, int], int]


def filters(blocks: int) -> list[Filter]:
    """(K, size, stride) for each convolution of an untrained ResNet-D on 32x32 images, seed 0."""
    torch.manual_seed(0)
    size, result = 32, []
    for module in Network("D", blocks).modules():
        if isinstance(module, PeriodicConv2d):
            result.append((module.weight.detach().double(), (size, size), module.stride))
            size //= module.stride
    return result


def exact(f: Filter) -> float:
    return float(conv_norm(*f))


def gram32(f: Filter) -> float:
    return float(gram_bound(f[0].float(), *f[1:]))


def gram64(f: Filter) -> float:
    return float(gram_bound(*f))


def dense(f: Filter) -> float:
    return float(torch.linalg.matrix_norm(conv_matrix(*f), 2))


@torch.no_grad()
def power(f: Filter, steps: int, tol: float = 0.0) -> float:
    """Power iteration on the convolution and its adjoint, as in most libraries.

    With ``tol``, until the relative error (known here from the exact norm) is below it.
    """
    K, size, stride = f
    x = torch.randn(1, K.shape[1], *size, dtype=K.dtype)
    norm, target = 0.0, exact(f) if tol else 0.0
    for _ in range(steps):
        y = conv(x, K, stride)
        norm = float(y.norm() / x.norm())
        if tol and norm >= target * (1 - tol):
            break
        x = conv_adjoint(y, K, size, stride)
        x /= x.norm()
    return norm


def torch_spectral_norm(f: Filter) -> float:
    """The norm by which PyTorch's parametrization divides: that of the flattened filter."""
    K, _, stride = f
    layer = torch.nn.Conv2d(K.shape[1], K.shape[0], K.shape[-1], stride, bias=False).double()
    layer.weight.data = K.clone()
    spectral_norm(layer, n_power_iterations=100)
    return float((K.norm() / layer.weight.detach().norm()).item())


def torchlip(f: Filter) -> float:
    """The bound by which deel-torchlip's SpectralConv2d divides: flattened, times a factor."""
    from deel.torchlip.utils.lconv_norm import compute_lconv_coef  # pyright: ignore

    n = f[0].shape[-1]
    return torch_spectral_norm(f) / compute_lconv_coef((n, n), None, (f[2], f[2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    every = filters(args.blocks)
    kinds: dict[tuple, list[Filter]] = {}
    for f in every:
        kinds.setdefault((f[0].shape, f[1], f[2]), []).append(f)
    samples = [(fs[0], len(fs)) for fs in kinds.values()]
    small = [s for s in samples if s[0][1] == (8, 8)]  # the others do not fit

    one = [(f, 1) for f in every]
    methods: list[tuple[str, Callable[[Filter], float], list[tuple[Filter, int]], int]] = [
        ("exact (Fourier symbol)", exact, one, args.repeat),
        ("Gram iteration, float64 (upper bound)", gram64, one, args.repeat),
        ("Gram iteration, float32 (upper bound)", gram32, one, args.repeat),
        ("power iteration, 10 steps", lambda f: power(f, 10), one, args.repeat),
        ("power iteration, 100 steps", lambda f: power(f, 100), one, 1),
        ("~ power iteration to 1e-6", lambda f: power(f, 20_000, 1e-6), samples, 1),
        ("~ power iteration to 1e-12", lambda f: power(f, 20_000, 1e-12), samples, 1),
        ("PyTorch spectral_norm (another operator)", torch_spectral_norm, one, 1),
        ("deel-torchlip (upper bound)", torchlip, one, 1),
        ("~ dense SVD, the filters at 8x8 only", dense, small, 1),
    ]
    truth = {id(f[0]): exact(f) for f in every}  # also warms up
    best: dict[str, float] = {}
    errors: dict[str, tuple[float, float] | None] = {}
    for turn in range(args.repeat):
        for name, method, chosen, repeats in methods:
            if turn >= repeats:
                continue
            seconds, relative = 0.0, []
            torch.manual_seed(0)
            try:
                for f, count in chosen:
                    start = time.perf_counter()
                    value = method(f)
                    seconds += count * (time.perf_counter() - start)
                    relative.append(value / truth[id(f[0])] - 1)
            except ImportError:
                errors[name] = None
                continue
            best[name] = min(seconds, best.get(name, math.inf))
            errors[name] = (min(relative), max(relative))

    rows = []
    print(f"ResNet-D, m = {args.blocks}: {len(every)} filters on 32x32 images")
    print(f"PyTorch {torch.__version__}, {args.threads} threads, {hardware('cpu')}")
    print(f"best of {args.repeat}\n")
    print(f"{'method':<44}{'seconds':>10}{'relative error, from':>24}{'to':>12}")
    for name, *_ in methods:
        span = errors[name]
        if span is None:
            print(f"{name:<44}{'not installed':>22}")
        else:
            print(f"{name:<44}{best[name]:>10.3f}{span[0]:>24.2e}{span[1]:>12.2e}")
        rows.append({"method": name, "seconds": best.get(name), "relative_error": span})
    if args.out:
        table = {
            "filters": len(every),
            "command": command(),
            "environment": environment("cpu"),
            "repeat": args.repeat,
            "rows": rows,
        }
        write_json(args.out, table)


if __name__ == "__main__":
    main()
