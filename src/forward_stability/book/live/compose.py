"""One text from JavaScript modules, for hosts that take one: a page from the disk and anywidget.

It needs nothing but Python, so that the package installs from its sources alone. Every module but
the first keeps a scope of its own: it becomes a function that is called once, after those of the
modules that it imports, and returns what it exports. What is understood is

- ``import { name, other as alias } from "./module.js";``
- ``export`` before a function, a class or a ``const`` with one name;
- ``export default`` in the first module.

Anything else that begins a line with ``import`` or ``export`` is refused, and so is what would end
the script element that carries it on a page.
"""

import re
from collections.abc import Mapping
from pathlib import Path

IMPORT = re.compile(r'^import \{([\w\s,]+)\} from "\./(\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(
    r"^export (?=(?:async function|function|class) (\w+)|const (\w+) = )", re.MULTILINE
)
REFUSED = re.compile(r"^(?:import|export)\b.*|^.*(?:</script|<!--).*", re.MULTILINE | re.IGNORECASE)


def compose(entry: str, given: Mapping[str, str] | None = None) -> str:
    """A module after all that it imports, as one text that imports nothing: its :func:`parts`."""
    return "\n".join(parts(entry, given))


def parts(entry: str, given: Mapping[str, str] | None = None) -> list[str]:
    """The lines of a module after those of all that it imports, a text for each.

    The text of a module is the same whatever imports it, so that a page can carry it once.

    Args:
        entry: the name of a JavaScript file of this package, without its ending.
        given: texts of modules that are not files, by their names.

    Raises:
        ValueError: for what is not understood, a name that is not exported, or a cycle.
    """
    given = given or {}
    exports: dict[str, set[str]] = {}
    made: list[str] = []

    def add(module: str, importers: tuple[str, ...]) -> None:
        if module in importers:
            raise ValueError(f"a cycle of imports: {' -> '.join([*importers, module])}")
        if module in exports:
            return
        text = given[module] if module in given else read(module)
        for found in IMPORT.finditer(text):
            add(found[2], (*importers, module))
        text = IMPORT.sub(lambda found: bind(module, found[1], found[2], exports[found[2]]), text)
        if not importers:
            refuse(module, re.sub(r"^export default ", "", text, flags=re.MULTILINE))
            made.append(text)
            return
        names = {a or b for a, b in EXPORT.findall(text)}
        text = EXPORT.sub("", text)
        refuse(module, text)
        exports[module] = names
        returned = f"return {{ {', '.join(sorted(names))} }};"
        made.append(f"const ${module} = (() => {{\n{text}\n{returned}\n}})();\n")

    add(entry, ())
    return made


def read(module: str) -> str:
    """The text of a module of this package."""
    return Path(__file__).with_name(f"{module}.js").read_text("utf-8")


def bind(module: str, names: str, source: str, exported: set[str]) -> str:
    """The statement that stands for an import of names from the module ``source``."""
    pairs = [name.split(" as ") for name in map(str.strip, names.split(",")) if name]
    for name, *_ in pairs:
        if name not in exported:
            raise ValueError(f"{module}.js imports {name}, which {source}.js does not export")
    return f"const {{ {', '.join(': '.join(pair) for pair in pairs)} }} = ${source};"


def refuse(module: str, text: str) -> None:
    """Raise ValueError for an import or an export that is left."""
    if found := REFUSED.search(text):
        raise ValueError(f"{module}.js has what cannot be composed: {found[0]}")
