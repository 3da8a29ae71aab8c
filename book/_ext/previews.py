"""A Sphinx extension: what references refer to, for ``hover.js`` to show.

``_static/previews.js`` holds the HTML of every labelled equation, theorem (definition, ...), term
of the glossary and entry of the bibliography, by its address, and of a chapter its title and what
it promises. A page loads it when a reference is pointed at for the first time: a script, because a
page opened from the disk may load no data.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from mentions import MENTION

SHOWN = "div.math[id], div.proof[id], dl.glossary dt[id], div.citation[id]"
"""A CSS selector of what is shown."""


def previews(page: str) -> Iterator[tuple[str, str]]:
    """What on a page is shown, as HTML without links, by what follows the page in its address."""
    article = page[page.index("<article") : page.index("</article>")]
    # scripts and pictures are most of a page, and no part of a preview
    article = re.sub(r'(?s)<script.*?</script>|"data:[^"]*"', "", article)
    soup = BeautifulSoup(article, "html.parser")
    found = [(f"#{tag['id']}", tag) for tag in soup.select(SHOWN)]
    promise = soup.select_one("section > h1 + .admonition")
    for link in soup.select("a"):
        if "headerlink" in (link.get("class") or []):
            link.decompose()
        else:
            link.unwrap()
    for tag in soup.select("[id], [role]"):  # on a page with its own identifiers
        del tag["id"], tag["role"]
    if promise is not None:
        title = promise.find_previous_siblings("h1")[0].get_text()
        yield "", f"<p><strong>{title}</strong></p>{promise}"
    for identifier, tag in found:
        if tag.name == "dt":
            yield identifier, f"<dl>{tag}{tag.find_next_sibling('dd')}</dl>"
        else:
            yield identifier, str(tag)


def write_previews(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None:
        return
    assert app.env is not None
    found = {}
    for name in sorted(app.env.found_docs):
        address = app.builder.get_target_uri(name)
        page = (Path(app.outdir) / address).read_text("utf-8")
        found |= {f"{address}{place}": html for place, html in previews(page)}
    script = f"window.previews = {json.dumps(found, ensure_ascii=False)};\n"
    (Path(app.outdir) / "_static" / "previews.js").write_text(script, "utf-8")


def typeset_previews(app: Sphinx, document: nodes.document) -> None:
    """Have MathJax on a page that has references, even if it has no formula of its own."""
    refers = next(document.findall(addnodes.pending_xref), None) is not None
    if refers or MENTION.search(document.astext()):
        app.env.domaindata["math"]["has_equations"][app.env.docname] = True


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", typeset_previews)
    app.connect("build-finished", write_previews)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
