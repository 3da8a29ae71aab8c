"""The deblurring explorer: plug-and-play with two denoisers, step by step, in the browser."""

from collections.abc import Mapping, Sequence

import torch

from forward_stability.averaged import PROJECTION, composition, gradient_step
from forward_stability.book.export import Export, export_layers
from forward_stability.book.live import Page, Widget, for_host
from forward_stability.book.photographs import CROPS, SIZE, blur_filter, blurred
from forward_stability.denoiser import Denoiser
from forward_stability.errors import InputError
from forward_stability.folded_residual import FoldedSymmetric
from forward_stability.graph import fold
from forward_stability.layer import Folded, Size
from forward_stability.spectral import proven_norm

NOTE = (
    "The photographs come with scikit-image; they and the blurred ones have 8 bits a pixel. The "
    "denoisers have 16 bits a weight, and what is proven is proven for these weights. dB: PSNR, "
    "against the photograph."
)


def export_denoiser(denoiser: Denoiser, name: str) -> Export:
    """A denoiser for the page, with κ of what the file holds, and the blur of chapter 16.

    The header's ``deblurring`` has ``wave``, of which the blur is the product along rows and
    columns, ``kappa`` of the denoiser, None if a layer has ‖A‖² ≥ 2, and ``rest``, that of the step
    downhill and the clamp behind it.

    Source: Theorem "Plug-and-play settles". Chapter 16.
    """
    size, K = (SIZE, SIZE), blur_filter()
    layers = fold(torch.nn.Sequential(*denoiser.layers))
    made = export_layers(layers, mean=torch.zeros(denoiser.width))
    kappa = _kappa(made.layers, size)
    header = {
        "name": name,
        "variant": "original" if kappa is None else "S",
        "shape": [denoiser.width, *size],
        "deblurring": {
            "wave": K[0, 0].sum(dim=0).tolist(),
            "kappa": kappa,
            "rest": composition([gradient_step(1.0, proven_norm(K, size)), PROJECTION]),
        },
    }
    return Export(made.layers, made.tensors, made.header | header)


def _kappa(layers: Sequence[Folded], size: Size) -> float | None:
    """κ of D from the filters of its layers, None if none is finite."""
    filters = [layer.K for layer in layers if isinstance(layer, FoldedSymmetric)]
    try:
        steps = [gradient_step(1.0, proven_norm(K, size)) for K in filters]
    except InputError:
        return None
    return composition([*steps, *(PROJECTION for _ in steps), PROJECTION])


def deblurring_explorer(denoisers: Mapping[str, Denoiser]) -> Widget | Page:
    """An explorer of plug-and-play: the reader chooses photograph, start, strength and step.

    Args:
        denoisers: by the names that the reader sees. What is proven of the steps of one is drawn
            beside them, if its κ is finite.

    Source: our own. Chapter 16.
    """
    names = [name for name, *_ in CROPS["test"]]
    pairs = torch.stack(blurred("test"), dim=1).clamp(0, 1)  # a photograph, and the same blurred
    spec = {
        "networks": list(denoisers),
        "images": [{"name": name, "label": None} for name in names for _ in range(2)],
        "note": NOTE,
    }
    files = {name: export_denoiser(D, name).to_bytes() for name, D in denoisers.items()}
    images = (255 * pairs).round().to(torch.uint8).numpy().tobytes()
    text = f"<deblurring explorer: {', '.join(denoisers)}>"
    return for_host("deblurring_explorer", spec, files | {"images": images}, text)
