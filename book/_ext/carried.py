"""A Sphinx extension: a network is a file beside the pages, loaded once its explorer comes near.

It is a script, because a page that was opened from a file may load scripts and nothing else.
``live/page.html`` loads it; without this extension all that a page shows stands in the page.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

FOLDER = "_static/carried"
CARRIED = re.compile(r'<script type="text/plain" data-live="(\w+)">([\w+/=]{200000,})</script>')
SCRIPT = """document.querySelector('script[data-live="{}"]').textContent = "{}";\n"""


def move_out(app: Sphinx, _page: str, _template: str, context: dict, _doctree) -> None:
    """Put what the page carries and is heavy into files of their own."""

    def move(found: re.Match[str]) -> str:
        digest, content = found.groups()
        file = Path(app.outdir) / FOLDER / f"{digest}.js"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SCRIPT.format(digest, content), "utf-8")
        place = context["pathto"](f"{FOLDER}/{file.name}", resource=True)
        return f'<script type="text/plain" data-live="{digest}" data-from="{place}"></script>'

    if "body" in context:
        context["body"] = CARRIED.sub(move, context["body"])


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", move_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
