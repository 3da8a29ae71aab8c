"""A Sphinx extension: theorems and equations bear the paper's own numbers.

A ``prf:`` directive with ``:nonumber:`` and a title such as ``Theorem 2 (paper) Growth`` is headed
by this title, where sphinx-proof would print "Theorem (Theorem 2 (paper) Growth)"; a reference to
it reads "Theorem 2", the title up to the parenthesis, where sphinx-proof would print "Theorem".

An equation labelled ``eq-8`` is the paper's Eq. 8, and is numbered so. The others that have a label
are numbered by chapter: (4.1), (4.2), ... in chapter 4. So are our own propositions and the
exercises, which cannot be mistaken for the paper's then: Proposition 4.1, Exercise 4.1.

A paragraph that begins with ``**Fig. 1 of the paper`` or ``**Table 2 of the paper`` is the place of
that figure or table: ``{ref}`fig-1` `` and ``{ref}`table-2` `` lead there, and ``{ref}`eq-8` `` to
the paper's Eq. 8. One that begins with ``**Figure.**`` is the caption of a figure of the book above
it, and is numbered by chapter: Figure 4.1.
"""

import itertools
import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.writers.html5 import HTML5Translator
from sphinx_proof.domain import ProofDomain
from sphinx_proof.nodes import (
    depart_unenumerable_node,
    unenumerable_node,
    visit_unenumerable_node,
)

CAPTION = r"(Fig\.|Table) (\d+) of the paper"
"""What the bold beginning of a caption of a figure or table of the paper looks like."""


def head_by_title(app: Sphinx, document: nodes.document) -> None:
    """Find the directives whose title begins with their kind, and take the title as it stands."""
    for node in document.findall(unenumerable_node):
        title = node.next_node(nodes.title)
        assert title is not None  # sphinx-proof puts one in every box
        text = title.astext().strip().removeprefix("(").removesuffix(")")
        if not text.startswith(node["realtype"].title()):
            continue
        node["headed"] = True
        title["ids"] = []  # sphinx-proof gives it the identifier of the whole box
        # sphinx-proof wraps a title in " (" and ")", so its first and last parts are text
        start = title.children[0]
        title.replace(start, nodes.Text(start.astext().lstrip().removeprefix("(")))
        end = title.children[-1]
        title.replace(end, nodes.Text(end.astext().removesuffix(")")))
        proofs = getattr(app.env, "proof_list")  # noqa: B009
        proofs[node["label"]]["reference"] = text.partition(" (")[0]


def depart_box(self: HTML5Translator, node: unenumerable_node) -> None:
    if node.get("headed"):
        self.body.append("</div>\n")
    else:
        depart_unenumerable_node(self, node)


def chapter_of(page: str) -> int | None:
    """The number with which the name of a page begins, such as 4 of book/04_growth."""
    chapter = re.match(r"(?:.*/)?(\d+)_", page)
    return int(chapter[1]) if chapter else None


def number_by_chapter(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Replace Sphinx's running numbers of exercises, propositions, ... by numbers a chapter."""
    changed = []
    for page, kinds in env.toc_fignumbers.items():
        chapter = chapter_of(page)
        if chapter is None:
            continue
        changed.append(page)
        for identifiers in kinds.values():
            for count, identifier in enumerate(identifiers, start=1):
                identifiers[identifier] = (chapter, count)
    return changed


def number_equations(app: Sphinx, document: nodes.document) -> None:
    """Number the labelled equations of a page, in the page and for references from others."""
    page = app.env.docname
    chapter = chapter_of(page)
    prefix = "" if chapter is None else f"{chapter}."
    own = itertools.count(1)
    for node in document.findall(nodes.math_block):
        if label := node.get("label"):
            paper = re.fullmatch(r"eq-(\d+)", label)
            node["number"] = paper[1] if paper else f"{prefix}{next(own)}"
            app.env.domaindata["math"]["objects"][label] = (page, node["number"])
            if paper:
                add_target(app.env, label, f"equation-{label}", f"Eq. {paper[1]}")


def add_target(env: BuildEnvironment, name: str, identifier: str, text: str) -> None:
    """Let ``{ref}`name` `` lead to an element of the page that is read now."""
    standard = env.domaindata["std"]
    standard["labels"][name] = (env.docname, identifier, text)
    standard["anonlabels"][name] = (env.docname, identifier)


def find_captions(app: Sphinx, document: nodes.document) -> None:
    """Make a target of each caption of a figure or a table of the paper."""
    for node in document.findall(nodes.paragraph):
        strong = node.next_node(nodes.strong)
        found = re.match(CAPTION, strong.astext()) if strong is not None else None
        if found and node.astext().startswith(found[0]):
            name = f"{found[1].lower().rstrip('.')}-{found[2]}"
            node["ids"].append(name)
            add_target(app.env, name, name, f"{found[1]} {found[2]}")


def number_captions(app: Sphinx, document: nodes.document) -> None:
    """Number the captions of the book's own figures, in the order of the page."""
    chapter = chapter_of(app.env.docname)
    prefix = "" if chapter is None else f"{chapter}."
    own = itertools.count(1)
    for node in document.findall(nodes.paragraph):
        label = node.next_node(nodes.strong)
        if label is not None and node.astext().startswith("Figure. "):
            node["classes"].append("figure-caption")
            label.replace_self(nodes.strong("", f"Figure {prefix}{next(own)}."))


class PaperDomain(ProofDomain):
    def resolve_xref(self, env, fromdocname, builder, typ, target, node, contnode):
        reference = getattr(env, "proof_list", {}).get(target, {}).get("reference")
        if reference and contnode.astext() == target:  # no text of its own was given
            contnode = nodes.inline("", reference)
        return super().resolve_xref(env, fromdocname, builder, typ, target, node, contnode)


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx_proof")
    app.add_domain(PaperDomain, override=True)
    app.add_node(unenumerable_node, override=True, html=(visit_unenumerable_node, depart_box))
    app.connect("doctree-read", head_by_title)
    app.connect("doctree-read", number_equations)
    app.connect("doctree-read", find_captions)
    app.connect("doctree-read", number_captions)
    # Sphinx numbers in env-get-updated, and collects the pages to write from the same event.
    app.connect("env-get-updated", number_by_chapter, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
