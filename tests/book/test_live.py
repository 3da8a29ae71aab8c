"""Modules become one text, and what the composer does not understand is refused."""

import re
from importlib import resources

import pytest
from playwright.sync_api import Browser

from forward_stability.book.live import modules
from forward_stability.book.live.compose import IMPORT, compose

FOLDER = resources.files("forward_stability.book.live")
EXPLORERS = ["noise_explorer", "features_explorer", "attack_explorer", "deblurring_explorer"]
FIGURES = [
    file.name.removesuffix(".js")
    for file in FOLDER.iterdir()
    if re.fullmatch(r"figure_\w+\.js", file.name)
]


def scripts() -> dict[str, str]:
    files = (file for file in FOLDER.iterdir() if file.name.endswith(".js"))
    return {file.name.removesuffix(".js"): file.read_text("utf-8") for file in files}


MODULES = {
    "entry": 'import { sum } from "./sum.js";\n'
    'import {\n  LOG,\n  Counter as C,\n} from "./log.js";\n'
    'LOG.push("entry");\n'
    "const hidden = 1;\n"
    "const result = sum(new C().count + hidden, 2);\n",
    "sum": 'import { LOG } from "./log.js";\n'
    'LOG.push("sum");\n'
    "const hidden = 10;\n"
    "export function sum(a, b) {\n  return a + b + hidden;\n}\n",
    "log": "export const LOG = [];\n"
    "const hidden = 100;\n"
    "export class Counter {\n  count = hidden;\n}\n"
    "export async function wait() {}\n",
}


def test_modules_come_after_what_they_import_and_keep_their_names(browser: Browser):
    page = browser.new_page()
    text = compose("entry", MODULES)
    found = page.evaluate(f"(() => {{ {text}\nreturn [result, $log.LOG, Object.keys($log)]; }})()")
    page.close()
    assert found == [113, ["sum", "entry"], ["Counter", "LOG", "wait"]]


def test_the_first_module_alone_has_a_default():
    assert compose("entry", {"entry": "export default 1;\n"}) == "export default 1;\n"
    given = {"entry": 'import { a } from "./a.js";\n', "a": "export default 1;\n"}
    with pytest.raises(ValueError, match=r"a\.js has what cannot be composed: export default 1;"):
        compose("entry", given)


@pytest.mark.parametrize(
    "line",
    [
        'import a from "./a.js";',
        'import * as a from "./a.js";',
        'import "./a.js";',
        'import { a } from "./folder/a.js";',
        'import { a } from "somewhere";',
        'import { default as a } from "./a.js" with { type: "json" };',
        'export { a } from "./a.js";',
        'export * from "./a.js";',
        "export { a };",
        "export let a = 1;",
        "export const { a } = {};",
        "export default 1;",
        'const end = "</SCRIPT>";',
        "const z = 1 <!--x;",
    ],
)
def test_what_is_not_understood_is_refused(line):
    given = {"entry": 'import { b } from "./b.js";\n', "b": f"export const b = 1;\n{line}\n"}
    with pytest.raises(ValueError, match=re.escape(f"b.js has what cannot be composed: {line}")):
        compose("entry", given | {"a": "export const a = 1;\n"})


@pytest.mark.parametrize("export", ["const other = 1;", "export const other = 1, a = 2;"])
def test_a_name_that_is_not_exported_is_refused(export):
    given = {"entry": 'import { a } from "./b.js";\n', "b": f"{export}\n"}
    with pytest.raises(ValueError, match=r"entry\.js imports a, which b\.js does not export"):
        compose("entry", given)


def test_a_cycle_is_refused():
    given = {
        "entry": 'import { a } from "./a.js";\n',
        "a": 'import { b } from "./b.js";\nexport const a = 1;\n',
        "b": 'import { a } from "./a.js";\nexport const b = 1;\n',
    }
    with pytest.raises(ValueError, match="a cycle of imports: entry -> a -> b -> a"):
        compose("entry", given)


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_an_explorer_is_the_same_text_each_time_and_imports_nothing(explorer):
    text = "\n".join(modules(explorer))
    assert text == "\n".join(modules(explorer))
    assert re.findall(r"^(?:import|export)\b.*", text, re.MULTILINE) == [
        next(line for line in text.splitlines() if line.startswith("export default explorer("))
    ]


def test_every_module_is_used():
    texts, used = scripts(), set()
    left = [*EXPLORERS, *FIGURES, "worker", "question"]
    while left:
        name = left.pop()
        used.add(name)
        imported = {found[2] for found in IMPORT.finditer(texts[name])} - {"worker_source"}
        left += imported - used
    assert used == set(texts)
