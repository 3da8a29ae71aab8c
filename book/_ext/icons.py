"""A Sphinx extension: of the theme's icons, a page carries those only that the book shows.

The theme draws an icon by a script, or as a letter of a font that its style sheet names. Both carry
about 2,000 icons and are the largest files that a page loads. After a build the script is written
again from the theme's own copy, and ``icons.css`` puts a small font before the large one, which is
then fetched for other letters only.
"""

import base64
import io
import re
from pathlib import Path

import pydata_sphinx_theme
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
SCRIPT = "scripts/fontawesome.js"
FONT = "vendor/fontawesome/webfonts/fa-solid-900.ttf"
SHEETS = ("pydata-sphinx-theme.css", "sphinx-book-theme.css")
STYLE = "icons.css"

# name:[width,height,[other names],"code","path"], with quotes where JavaScript needs them
ICON = re.compile(r'"?(?P<name>[\w-]+)"?:\[\d+,\d+,\[(?P<others>[^\]]*)\],"\w+","[^"]*"\],?')


def reduce(script: str, used: set[str]) -> str:
    """The script without the icons that have none of these names."""

    def keep(match: re.Match[str]) -> str:
        names = {match["name"], *re.findall(r'"([\w-]+)"', match["others"])}
        return match[0] if names & used else ""

    return ICON.sub(keep, script)


def names(folder: Path) -> set[str]:
    """What the pages of a built book, and the theme's script for their search, call icons."""
    files = [*folder.rglob("*.html"), folder / "_static" / "scripts" / "pydata-sphinx-theme.js"]
    return {name for f in files for name in re.findall(r"\bfa-([a-z0-9-]+)", f.read_text("utf-8"))}


def letters(folder: Path) -> set[int]:
    """The letters of the font that the theme's style sheets draw, other than by a class."""
    theme, book = ((folder / "_static" / "styles" / name).read_text("utf-8") for name in SHEETS)
    named = re.findall(r'--pst-[\w-]+:"([\ue000-\uf8ff])"', theme)
    direct = re.findall(r'content:"\\(f\w{3})"', book)
    return {ord(letter) for letter in named} | {int(code, 16) for code in direct}


def style(used: set[int]) -> str:
    """A style sheet with the part of the theme's font that has these letters."""
    file = io.BytesIO()
    with TTFont(THEME / FONT) as font:
        part = Subsetter()
        part.populate(unicodes=used)
        part.subset(font)
        font.flavor = "woff"
        font.save(file)
    return (
        '@font-face { font-family: "Font Awesome 6 Free"; font-weight: 900; font-display: block;\n'
        f"unicode-range: {', '.join(f'U+{code:X}' for code in sorted(used))};\n"
        f"src: url(data:font/woff;base64,{base64.b64encode(file.getvalue()).decode()}); }}\n"
    )


def write_used_icons(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        folder = Path(app.outdir)
        script = reduce((THEME / SCRIPT).read_text("utf-8"), names(folder))
        (folder / "_static" / SCRIPT).write_text(script, "utf-8")
        (folder / "_static" / STYLE).write_text(style(letters(folder)), "utf-8")


def setup(app: Sphinx) -> dict:
    app.add_css_file(STYLE, priority=900)  # after the theme's own
    app.connect("build-finished", write_used_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
