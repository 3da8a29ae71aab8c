"""A Sphinx extension: no line begins with the full stop that ends a formula.

Browsers may break a line on either side of a formula. A word joiner (U+2060) between it and the
punctuation that belongs to it prevents that.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

JOINER = "\u2060"


class JoinPunctuation(SphinxPostTransform):
    """Joins formulas to the punctuation around them, on pages."""

    default_priority = 30
    formats = ("html",)

    def run(self, **_kwargs: object) -> None:
        for formula in list(self.document.findall(nodes.math)):
            place = formula.parent.index(formula)
            before, after = formula.parent[:place][-1:], formula.parent[place + 1 :][:1]
            for text in before:
                if isinstance(text, nodes.Text) and re.search(r"[(\[“]$", text):
                    formula.parent.replace(text, nodes.Text(text + JOINER))
            for text in after:
                if isinstance(text, nodes.Text) and re.match(r"[.,;:!?)\]”’]", text):
                    formula.parent.replace(text, nodes.Text(JOINER + text))


def setup(app: Sphinx) -> dict:
    app.add_post_transform(JoinPunctuation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
