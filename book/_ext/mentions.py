"""A Sphinx extension: what the text mentions by its number is a link to it.

"Eq. 7", "Theorems 5 and 6", "chapter 4", "Table 3" and the like, in plain text, lead to the place
of the book that states the paper's equation, theorem or table, or to the chapter. A number that
no page bears stays as it is, and so does a mention within its own statement, a title or a link.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.addnodes import desc_signature
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from paper_numbers import chapter_of

LABELS = {
    "eq": "eq",
    "equation": "eq",
    "fig": "fig",
    "table": "table",
    "theorem": "thm",
    "lemma": "lem",
    "proposition": "prop",
    "definition": "def",
    "remark": "rem",
    "chapter": "chapter",
}
"""How the labels of a kind begin."""

NUMBER = r"\d+[ab]?(?!\.?\d)"
KIND = r"\b(Eq|Equation|Fig|Table|Theorem|Lemma|Proposition|Definition|Remark|[Cc]hapter)s?\.?\s"
MENTION = re.compile(rf"{KIND}{NUMBER}(?:(?:, and |, | and | or | to |-|–){NUMBER})*")
CLOSED = (nodes.reference, nodes.literal, nodes.literal_block, nodes.title, nodes.rubric)
CLOSED += (nodes.math, nodes.math_block, nodes.raw, desc_signature)


class LinkMentions(SphinxPostTransform):
    """Makes references of the numbers, when Sphinx has resolved those that are written as such."""

    default_priority = 20

    def run(self, **_kwargs: object) -> None:
        for text in list(self.document.findall(nodes.Text)):
            above = list(ancestors(text))
            if MENTION.search(text) and not any(isinstance(node, CLOSED) for node in above):
                own = {identifier for node in above for identifier in node["ids"]}
                text.parent.replace(text, list(self.pieces(text, own)))

    def pieces(self, text: str, own: set[str]) -> Iterator[nodes.Node]:
        """The text, with the mentions as references but for those of what it is part of."""
        done = 0
        for mention in MENTION.finditer(text):
            for count, number in enumerate(re.finditer(NUMBER, mention[0])):
                # the first link begins with the name of the kind
                start = mention.start() + (number.start() if count else 0)
                stop = mention.start() + number.end()
                place = self.place(mention[1].lower(), number[0].rstrip("ab"))
                if place and place[1] not in own:
                    yield nodes.Text(text[done:start])
                    yield self.link(text[start:stop], *place)
                    done = stop
        yield nodes.Text(text[done:])

    def place(self, kind: str, number: str) -> tuple[str, str] | None:
        """The page and the identifier of what bears the number; that of a chapter is empty."""
        if kind == "chapter":
            others = self.env.found_docs - {self.env.docname}
            return next(((page, "") for page in others if chapter_of(page) == int(number)), None)
        label = f"{LABELS[kind]}-{number}"
        if found := getattr(self.env, "proof_list", {}).get(label):
            return found["docname"], label
        return self.env.domaindata["std"]["anonlabels"].get(label)

    def link(self, text: str, page: str, identifier: str) -> nodes.reference:
        here = self.env.docname
        address = "" if page == here else self.app.builder.get_relative_uri(here, page)
        anchor = f"#{identifier}" if identifier else ""
        return nodes.reference(text, text, internal=True, refuri=address + anchor)


def ancestors(node: nodes.Node) -> Iterator[nodes.Element]:
    while (parent := node.parent) is not None:
        yield parent
        node = parent


def setup(app: Sphinx) -> dict:
    app.add_post_transform(LinkMentions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
