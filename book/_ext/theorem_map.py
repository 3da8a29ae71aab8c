"""A Sphinx extension: the directive ``theorem-map`` draws which theorems are used in which proofs.

A proof uses what it refers to: a theorem, or an equation within its statement. It proves what its
fold names, as in ``Proof of Theorem 1``, and else the last statement above it. So the picture is
made of what readers see, and changes with it. Theorems and lemmas are drawn, and propositions that
use one of the others or are used, in the order of the book; what is used has an arrow to where.
"""

import html
import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx_proof.nodes import proof_node

from paper_numbers import chapter_of

WIDTH, LINE, GAP, CHAPTERS, ARCS = 344, 18, 8, 22, 92
"""Sizes in pixels: of the picture, a line of text, a gap, and what chapters and arcs take."""

LETTERS = 33
"""What a line of text holds."""

ALWAYS = ("theorem", "lemma")

ALT = "The theorems in the order of the chapters, with arrows from what is used to where"

CHOSEN = "opacity: 1; stroke: var(--pst-color-link); stroke-width: 2.5;"
"""The look of the arcs of a name that is pointed at."""


@dataclass
class Statement:
    """A theorem, lemma, proposition, ... of a page, and the labels of those that its proof uses."""

    label: str
    kind: str
    name: str
    heading: str
    page: str
    uses: set[str] = field(default_factory=set)


class theorem_map(nodes.General, nodes.Element):
    """The place of the picture, which is drawn when all pages have been read."""


class TheoremMap(SphinxDirective):
    """``theorem-map`` without arguments."""

    def run(self) -> list[nodes.Node]:
        for page in chapters(self.env):
            self.env.note_dependency(str(self.env.doc2path(page)))
        return [theorem_map()]


def chapters(env: BuildEnvironment) -> list[str]:
    return sorted(page for page in env.found_docs if chapter_of(page) is not None)


def statements(app: Sphinx) -> list[Statement]:
    """Those of all chapters, in their order, with what their proofs use."""
    env = app.env
    found: dict[str, Statement] = {}
    places: dict[str, str] = {}  # the label of the statement in which an identifier stands
    proofs: list[tuple[str, proof_node]] = []
    for page in chapters(env):
        folds = (proof.parent[0].astext() for proof in env.get_doctree(page).findall(proof_node))
        last = ""
        for node in env.get_and_resolve_doctree(page, app.builder).findall(nodes.Element):
            if isinstance(node, proof_node):
                named = next(folds).removeprefix("Proof of ")
                owner = next((s.label for s in found.values() if s.name == named), last)
                proofs.append((owner, node))
            elif "realtype" in node:
                last = node["label"]
                found[last] = statement(env, node, page)
                inside = [node, *node.findall(nodes.math_block)]
                places |= dict.fromkeys((name for part in inside for name in part["ids"]), last)
    for label, proof in proofs:
        links = (link for link in proof.findall(nodes.reference) if link.get("internal"))
        names = (link.get("refid") or link["refuri"].partition("#")[2] for link in links)
        found[label].uses |= {places[name] for name in names if name in places} - {label}
    return list(found.values())


def statement(env: BuildEnvironment, node: nodes.Element, page: str) -> Statement:
    """What stands in a box of sphinx-proof, by the name that a reference to it has."""
    label, title = node["label"], node["title"].strip().removeprefix("(").removesuffix(")")
    if node.get("headed"):  # by a title such as "Theorem 2 (paper) Growth"
        name = getattr(env, "proof_list")[label]["reference"]  # noqa: B009
        rest = title.partition(" (paper)")[2]
        heading = name + (rest if rest.startswith(",") else f":{rest}")
    else:
        number = env.toc_fignumbers[page][node["countertype"]][label]
        name = f"{node['realtype'].title()} {'.'.join(map(str, number))}"
        heading = f"{name}: {title}"
    return Statement(label, node["realtype"], name, heading, page)


def draw(found: list[Statement], address: Callable[[Statement], str]) -> str:
    """The picture as SVG: names one below another, and an arc from what is used to where."""
    users = {s.label: [user for user in found if s.label in user.uses] for s in found}
    drawn = [
        s
        for s in found
        if s.kind in ALWAYS or (s.kind == "proposition" and (s.uses or users[s.label]))
    ]
    names = {s.label: s.name for s in drawn}
    heights: dict[str, float] = {}
    rows, arcs, rules, y, last = [], [], [], GAP, ""
    for s in drawn:
        y += GAP if s.page != last else 0
        lines = textwrap.wrap(s.heading, LETTERS)
        middle, tall = y + LINE / 2 + GAP / 2, LINE * len(lines) + GAP
        if s.page != last:
            rows.append(
                f'<text x="0" y="{middle + 4:g}" class="chapter">{chapter_of(s.page)}</text>'
            )
        uses = [names[label] for label in names if label in s.uses]
        use = f"uses {', '.join(uses)}" if uses else "uses no other"
        if users[s.label]:
            use += f"; used for {', '.join(user.name for user in users[s.label])}"
        text = " ".join(
            f'<tspan x="{ARCS + 12}" y="{middle + 4 + LINE * i:g}">{html.escape(line)}</tspan>'
            for i, line in enumerate(lines)
        )
        rows.append(
            f'<a href="{address(s)}" class="reference internal" data-label="{s.label}" '
            f'aria-label="{html.escape(f"{s.heading}; {use}")}">'
            f'<rect x="{ARCS}" y="{y}" width="{WIDTH - ARCS}" height="{tall}"/>'
            f'<circle cx="{ARCS}" cy="{middle:g}" r="3.5"/><text>{text}</text></a>'
        )
        rules.append(
            f'.theorem-map:has([data-label="{s.label}"]:is(:hover, :focus-visible)) .{s.label}'
        )
        heights[s.label] = middle
        y, last = y + tall, s.page
    for s in drawn:
        for label in names:
            if label in s.uses:
                arcs.append(arc(label, s.label, heights[label], heights[s.label]))
    return (
        f'<svg class="theorem-map" viewBox="0 0 {WIDTH} {y + GAP}" role="group" aria-label="{ALT}">'
        f"<style>{', '.join(rules)} {{ {CHOSEN} }}</style>"
        f'<g aria-hidden="true">{"".join(arcs)}</g>{"".join(rows)}</svg>'
    )


def arc(used: str, user: str, start: float, end: float) -> str:
    """An arc to the left of the names, the wider the longer, with its head at the user."""
    reach = (ARCS - CHAPTERS) * (1 - math.exp(-abs(end - start) / 250)) * 4 / 3  # of a cubic
    x = ARCS - 6
    d = f"M{x} {start:g}C{x - reach:.1f} {start:g} {x - reach:.1f} {end:g} {x} {end:g}"
    return f'<path class="{used} {user}" data-arc="{used} {user}" d="{d}m-6 -4l6 4l-6 4"/>'


def show(app: Sphinx, document: nodes.document, page: str) -> None:
    """Replace the places of the picture on a page."""
    for place in list(document.findall(theorem_map)):

        def address(s: Statement) -> str:
            return f"{app.builder.get_relative_uri(page, s.page)}#{s.label}"

        place.replace_self(nodes.raw("", draw(statements(app), address), format="html"))


def setup(app: Sphinx) -> dict:
    app.add_node(theorem_map)
    app.add_directive("theorem-map", TheoremMap)
    app.connect("doctree-resolved", show)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
