r"""The two features that a residual layer drives apart, unless it is a ResNet-S.

.. math:: f_b(x) = x - A_2\,\sigma(A_1 x + b)

drives no two features apart, whatever its bias, if and only if :math:`A_2 = A_1^T \Lambda` with a
diagonal :math:`\Lambda \ge 0` and :math:`\|\Lambda^{1/2} A_1\| \le \sqrt 2` (rows of A1 that vanish
aside). The proof looks at h + 1 sets of active units, and so does :func:`parting_pair`. Chapter 6.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from forward_stability.errors import InputError


@dataclass(frozen=True)
class Parting:
    r"""Two features and a bias with :math:`\|f_b(x) - f_b(y)\| = ` ``ratio`` :math:`\|x - y\|`.

    Attributes:
        ratio: the largest singular value of :math:`I - A_2 D A_1`, where D keeps ``units``.
        units: which hidden units are active at x and at y, booleans of shape ``(h,)``.
        b: the bias, shape ``(h,)``.
        x, y: the features, shape ``(d,)``; y is 0.
    """

    ratio: float
    units: Tensor
    b: Tensor
    x: Tensor
    y: Tensor


def parting_pair(A1: Any, A2: Any) -> Parting:
    r"""A bias and two features that part, if the layer x ↦ x − A2 σ(A1 x + b) has any.

    With one unit j active alone, the layer multiplies a difference by :math:`I - u_j v_j^T`, where
    :math:`u_j` is a column of A2 and :math:`v_j` a row of A1; with all units, by
    :math:`I - A_2 A_1`. If none of these h + 1 matrices stretches, then
    :math:`u_j = \lambda_j v_j` with :math:`0 \le \lambda_j \le 2/\|v_j\|^2`, and
    :math:`\|\Lambda^{1/2} A_1\|^2 \le 2`: no bias drives any two features apart.

    Args:
        A1: shape ``(h, d)``.
        A2: shape ``(d, h)``; a step τ is a factor of it.

    Returns:
        the pair of the one among the h + 1 matrices that stretches most. Up to rounding in
        float64, its ratio is at most 1 if and only if the layer is a ResNet-S as above.

    Raises:
        InputError: if the shapes do not fit or an entry is not finite.

    Source: our own. Chapter 6.
    """
    A1, A2 = (torch.as_tensor(W, dtype=torch.float64) for W in (A1, A2))
    if A1.ndim != 2 or A2.shape != A1.mT.shape:
        raise InputError(
            "A1 must be a matrix (h, d) and A2 one of shape (d, h), got "
            f"{tuple(A1.shape)} and {tuple(A2.shape)}"
        )
    if not bool(torch.isfinite(A1).all() and torch.isfinite(A2).all()):
        raise InputError("A1 and A2 must be finite, but have NaN or infinite entries")
    h, d = A1.shape
    sets = torch.cat([torch.eye(h), torch.ones(1, h)]).bool()
    steps = torch.eye(d, dtype=torch.float64) - A2 @ (sets[:, :, None] * A1)
    _, stretches, directions = torch.linalg.svd(steps)
    worst = int(stretches[:, 0].argmax())
    x, units = directions[worst, 0], sets[worst]
    room = 1 + (A1 @ x).abs()  # no unit is switched on or off between y = 0 and x
    b = torch.where(units, room, -room)
    return Parting(float(stretches[worst, 0]), units, b, x, torch.zeros_like(x))
