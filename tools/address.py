"""Where the project lives: one address, said in ``_config.yml`` and written wherever it is needed.

    python tools/address.py https://github.com/ACCOUNT/NAME           # write it everywhere
    python tools/address.py --check [https://github.com/ACCOUNT/NAME] # compare, change nothing

The first cell of every notebook installs the package from this address, so it must be one that
belongs to the project. Until there is one it is ``UNPUBLISHED``: nobody can register an account of
GitHub with an underscore, and the first cell says in one line that there is nothing to install.
Exit status 1 if a file has another address. Comparing needs nothing but Python.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNPUBLISHED = "https://github.com/your_account/forward-stability"
ADDRESS = re.compile(
    r"https://github\.com/(?:your_account|[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38})/[\w.-]+"
)
SETTING = re.compile(r"(?<=^repository:\n  url: )\S+$", re.MULTILINE)
PLACES = [
    ("_config.yml", SETTING, "{address}"),
    ("CITATION.cff", re.compile(r'(?<=^repository-code: ")[^"]+', re.MULTILINE), "{address}"),
    ("pyproject.toml", re.compile(r'(?<=^Repository = ")[^"]+', re.MULTILINE), "{address}"),
    ("README.md", re.compile(r"git clone \S+\ncd \S+"), "git clone {address}\ncd {name}"),
    ("book/00_start.ipynb", re.compile(r"git clone \S+\ncd \S+"), "git clone {address}\ncd {name}"),
]
"""Files, what stands for the address in them (once each), and how it is written."""


def current(root: Path = ROOT) -> str:
    """The address of ``_config.yml``."""
    found = SETTING.search((root / "_config.yml").read_text("utf-8"))
    if found is None:
        raise SystemExit("_config.yml has no repository with a url")
    return found[0]


def first_cell(source: str | None) -> str:
    """The code of the first cell of every notebook.

    Args:
        source: what pip installs the package from; None while there is nothing.
    """
    lines = ["from importlib.util import find_spec", ""]
    lines += ['if find_spec("forward_stability") is None:  # in Colab, for example']
    if source is None:
        text = "This book is not published yet: take a copy, and run make lab."
        lines += ["    raise SystemExit(", f'        "{text}"', "    )"]
    else:
        lines += [f'    source = "{source}"']
        lines += ['    %pip install --quiet "forward-stability[book] @ {source}"']
    return "\n".join(lines)


def rewrite(path: Path, place: str, address: str) -> str | dict:
    """The content of a file with the address: text, or the JSON of a notebook."""
    name = address.rsplit("/", 1)[-1]
    places = [(pattern, form) for file, pattern, form in PLACES if file == place]

    def replaced(text: str) -> str:
        for pattern, form in places:
            text = pattern.sub(form.format(address=address, name=name), text)
        return text

    text = path.read_text("utf-8")
    if path.suffix != ".ipynb":
        return replaced(text)
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = replaced("".join(cell["source"])).splitlines(keepends=True)
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    source = None if address == UNPUBLISHED else f"git+{address}"
    first["source"] = first_cell(source).splitlines(keepends=True)
    return notebook


def changes(address: str, root: Path = ROOT) -> Iterator[tuple[Path, str | dict]]:
    """The files that say another address, and what they should hold."""
    notebooks = (path.relative_to(root).as_posix() for path in root.glob("book/*.ipynb"))
    for place in sorted({*notebooks, *(file for file, _, _ in PLACES)}):
        path = root / place
        new, text = rewrite(path, place, address), path.read_text("utf-8")
        if new != (text if isinstance(new, str) else json.loads(text)):
            yield path, new


def store(path: Path, content: str | dict) -> None:
    """Write a file; the ids of a notebook's cells follow from what is in them."""
    if isinstance(content, str):
        path.write_text(content, "utf-8")
        return
    import nbformat
    from execute import tidy, write

    notebook = nbformat.reads(json.dumps(content), as_version=4)
    tidy(notebook)
    write(notebook, path)


def main(words: list[str] | None = None, root: Path = ROOT) -> int:
    """Write or compare; the exit status."""
    parser = argparse.ArgumentParser(description="Say where the project lives.")
    parser.add_argument("address", nargs="?", metavar="https://github.com/ACCOUNT/NAME")
    parser.add_argument("--check", action="store_true", help="compare, and change nothing")
    args = parser.parse_args(words)
    address = args.address or current(root)
    if not ADDRESS.fullmatch(address):
        parser.error(f"{address} is not of the form https://github.com/ACCOUNT/NAME")
    different = list(changes(address, root))
    for path, content in different:
        print(f"{path.relative_to(root)}: {'another address' if args.check else 'written'}")
        if not args.check:
            store(path, content)
    if args.check and different:
        command = f"python tools/address.py {address}"
        print(f"the project says that it lives at {current(root)}: run `{command}` and commit")
    return int(args.check and bool(different))


if __name__ == "__main__":
    sys.exit(main())
