"""Vector drawings for a page: sharp at any density, and at home in the dark mode.

Matplotlib's SVG becomes a part of the page: its text is text, its ground is the page's, black is
the colour in which the page writes, and every other colour has a twin for the dark mode.
"""

import colorsys
import io
import re
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

TINTED = "tinted"
"""The identifier, and on the page the class, of images whose colours have a twin in the dark."""

HEX = re.compile(r"#[0-9a-f]{6}\b")
NUMBER = re.compile(r"-?\d+\.\d+")
LINES = re.compile(r"M[^MLCQz]+(?:L[^MLCQz]+)+")
REFERENCE = re.compile(r"(?<=url\(#)[^)]+|(?<=^#).+")


def dark_twin(colour: str) -> str:
    """The colour ``#rrggbb`` with its hue and saturation (of HLS) and the opposite lightness."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, light, saturation = colorsys.rgb_to_hls(*parts)
    twin = colorsys.hls_to_rgb(hue, 1 - light, saturation)
    return "#" + "".join(f"{round(255 * part):02x}" for part in twin)


def _both(colour: re.Match[str]) -> str:
    if colour[0] == "#000000":
        return "currentColor"
    return f"light-dark({colour[0]},{dark_twin(colour[0])})"


def _relative(line: re.Match[str]) -> str:
    """A broken line by its steps, whose digits are fewer; they add up to the rounded places."""
    places = [[round(10 * float(z)) for z in place.split()] for place in line[0][1:].split("L")]
    steps = [(x - u, y - v) for (u, v), (x, y) in pairwise(places)]
    ends = [" ".join(f"{z / 10:g}" for z in place) for place in [places[0], *steps]]
    return f"M{ends[0]}l{' '.join(ends[1:])}"


def _short(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def draw_svg(fig: Figure, prefix: str) -> str:
    """The figure as an ``<svg>`` for a page, its numbers rounded to a tenth of a point.

    Args:
        fig: the figure.
        prefix: what the identifiers in it begin with: another one for each figure of a page.
    """
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": ""}):
        empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        fig.savefig(file, format="svg", transparent=True, metadata=empty)
    root = ElementTree.fromstring(file.getvalue())
    elements = list(root.iter())
    values = [value for element in elements for value in element.attrib.values()]
    used = {name: f"{prefix}{i}" for i, name in enumerate(_references(values))}
    for element in elements:
        element.tag = element.tag.rpartition("}")[2]
        element.text = element.text if element.tag in ("text", "tspan") else None
        element.tail = None
        given = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        if given.get("id") == TINTED:
            given["class"] = TINTED
        element.attrib = {name: _tidy(name, value, used) for name, value in given.items()}
        if element.get("id") == "":
            del element.attrib["id"]
        for child in list(element):
            if child.tag.endswith("}metadata") or child.find("{*}style") is not None:
                element.remove(child)
    root.attrib = {"viewBox": root.attrib["viewBox"], "aria-hidden": "true"}
    return ElementTree.tostring(root, encoding="unicode")


def _references(values: list[str]) -> dict[str, None]:
    """The identifiers to which an attribute refers, in their order."""
    return dict.fromkeys(name for value in values for name in REFERENCE.findall(value))


def _tidy(name: str, value: str, used: dict[str, str]) -> str:
    """An attribute made short, its colours and identifiers those of the page."""
    if name == "id":
        return used.get(value, "")
    if value.startswith("data:"):
        return "".join(value.split())
    if name == "style":
        value = re.sub(r"font-family:[^;]*(; )?", "", value)
        value = HEX.sub(_both, value).replace(": ", ":").replace("; ", ";")
    if name == "d":
        value = LINES.sub(_relative, re.sub(r" *([MLCQz]) *", r"\1", value))
    value = REFERENCE.sub(lambda found: used[found[0]], value)
    return NUMBER.sub(_short, value).strip()
