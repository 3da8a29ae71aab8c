r"""What is reported of a network: its layers, the hypotheses of a theorem, constants of the whole.

:func:`~forward_stability.certificates.certify` fills a :class:`Report`. A constant is marked as
proven only where it is. Chapters 9, 10 and 11.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

ROUNDING = 1e-11
"""What a hypothesis may miss its limit by, relative to it: proven norms are too large by less."""


@dataclass(frozen=True)
class Check:
    """A hypothesis of a theorem for one layer: ``value`` ≤ ``limit`` (up to :data:`ROUNDING`)."""

    equation: str
    statement: str
    value: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether it is satisfied."""
        return self.value <= self.limit * (1 + ROUNDING)


@dataclass(frozen=True)
class Constants:
    """‖x^N − y^N‖ ≤ a ‖x^0 − y^0‖ and ‖x^N‖ ≤ g ‖x^0‖ + c, each with whether it is proven."""

    name: str
    a: float
    a_proven: bool
    g: float
    c: float
    c_proven: bool
    note: str


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Attributes:
        kind: of the layer, such as "residual D".
        size: the height and width of its input.
        lipschitz: the constant of the sharpened theorem.
        best: the smallest proven one.
        gain, offset: ‖x^{n+1}‖ ≤ ``gain`` ‖x^n‖ + ``offset``.
        norms: operator norms by name.
        bounds: the names of those norms that are upper bounds.
        biases: the norms of the biases as features.
        checks: the hypotheses of the theorem.
        index: n.
    """

    kind: str
    size: tuple[int, int]
    lipschitz: float
    best: float
    gain: float
    offset: float
    norms: dict[str, float] = field(default_factory=dict)
    bounds: tuple[str, ...] = ()
    biases: dict[str, float] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    index: int = 0

    def lines(self) -> list[str]:
        """The layer as text, and a line for each hypothesis that fails."""
        norms = ", ".join(
            f"‖{k}‖ {'≤' if k in self.bounds else '='} {v:.4g}" for k, v in self.norms.items()
        )
        size = f"{self.size[0]}x{self.size[1]}"
        first = f"{self.index:>4} {self.kind:<15}{size:<7}Lip ≤ {self.best:<10.4g}{norms}"
        failed = (c for c in self.checks if not c.holds)
        return [
            first,
            *(f"     Eq. {c.equation} fails: {c.statement}; here {c.value:.4g}" for c in failed),
        ]


@dataclass(frozen=True)
class Report:
    """The report of a network: its layers and the constants of the whole."""

    network: str
    theorem: str
    size: tuple[int, int]
    hypotheses_hold: bool
    layers: list[LayerReport]
    constants: list[Constants]

    def __getitem__(self, name: str) -> Constants:
        """The constants called "printed", "corrected", "sharpened" or "best"."""
        return next(c for c in self.constants if c.name == name)

    @property
    def failed(self) -> list[tuple[int, Check]]:
        """The hypotheses that fail, with the index of the layer."""
        return [(layer.index, c) for layer in self.layers for c in layer.checks if not c.holds]

    def to_dict(self) -> dict[str, Any]:
        """The report in plain types, ready for JSON."""
        content = asdict(self)
        for layer, entry in zip(self.layers, content["layers"], strict=True):
            for check, values in zip(layer.checks, entry["checks"], strict=True):
                values["holds"] = check.holds
        return content

    def __str__(self) -> str:
        """The report as text."""
        lines = [f"{self.network} on {self.size[0]}x{self.size[1]} pixels", ""]
        for layer in self.layers:
            lines += layer.lines()
        holds = "hold" if self.hypotheses_hold else "do not all hold"
        lines += ["", f"The hypotheses of {self.theorem} {holds}." if self.theorem else ""]
        lines.append(
            "Sensitivity a and growth g, c: |x^N − y^N| ≤ a |x^0 − y^0|, |x^N| ≤ g |x^0| + c"
        )
        for c in self.constants:
            a = f"a = {c.a:.5g}" + ("" if c.a_proven else " (not proven)")
            growth = f"g = {c.g:.5g}, c = {c.c:.5g}" + ("" if c.c_proven else " (not proven)")
            lines.append(f"{c.name:<10} {a:<32}{growth:<40}{c.note}")
        return "\n".join(lines)
