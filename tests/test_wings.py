"""The three wings: what imports what, what the core needs, and the front door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from reference import PACKAGE, imported, modules, wing

import forward_stability

ROOT = Path(__file__).resolve().parents[1]
MODULES = modules(ROOT)
ALLOWED = {
    "core": {"core"},
    "experiments": {"core", "experiments"},
    "book": {"core", "experiments", "book"},
    "cli": {"core", "experiments", "book", "cli"},
}
HEAVY = (
    *("matplotlib", "IPython", "sklearn", "skimage", "torchvision", "joblib", "PIL"),
    *("safetensors", "filelock", "ipywidgets", "anywidget", "traitlets"),
)
CORE = sorted(name for name in MODULES if wing(name) == "core")


def run(code: str) -> str:
    """What a fresh Python prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_import_runs_upwards(module: str):
    found = {wing(name) for name in imported(MODULES[module]) if name in MODULES}
    assert found <= ALLOWED[wing(module)]


def test_the_order_of_the_modules_has_no_circle():
    """Not even in what functions import when they are called."""
    graph = {name: set(imported(path)) & MODULES.keys() for name, path in MODULES.items()}
    seen: dict[str, bool] = {}

    def visit(name: str) -> None:
        assert seen.get(name, True), f"{name} imports itself"
        if name not in seen:
            seen[name] = False
            for other in graph[name]:
                visit(other)
            seen[name] = True

    for name in graph:
        visit(name)
    assert len(seen) == len(MODULES) > 30


def test_the_core_needs_torch_numpy_and_scipy_alone():
    code = f"""
import importlib, sys
import forward_stability
for name in forward_stability.__all__:
    getattr(forward_stability, name)
for name in {CORE}:
    importlib.import_module(name)
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert run(code) == "[]"


def test_importing_the_package_loads_nothing():
    assert run("import sys, forward_stability; print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize("arguments", ["['--version']", "['--help']"])
def test_version_and_help_come_without_torch(arguments: str):
    code = f"""
import contextlib, io, sys
from forward_stability.cli import main
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
    main({arguments})
assert out.getvalue()
print([name for name in ("torch", "numpy", "matplotlib") if name in sys.modules])
"""
    assert run(code) == "[]"


def test_no_command_loads_what_draws():
    """One process for all of them, which takes as long as one: the first to load any is named."""
    code = """
import sys
from forward_stability.cli import build_parser
for command in ("train", "certify", "ledger", "sweep", "data"):
    build_parser(command)
    names = ("matplotlib", "IPython", "sklearn", "skimage")
    print(*[f"{command}: {name}" for name in names if name in sys.modules])
"""
    assert run(code) == ""


def test_the_front_door_has_about_twenty_names_and_each_is_at_home_where_it_stands():
    assert 15 <= len(forward_stability.__all__) <= 25
    assert forward_stability.__all__ == sorted(set(forward_stability.__all__))
    assert set(forward_stability.__all__) <= set(dir(forward_stability))
    for name in forward_stability.__all__:
        found = getattr(forward_stability, name)
        assert wing(found.__module__) == "core"
        assert getattr(sys.modules[found.__module__], name) is found
        assert found.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'relu'"):
        _ = forward_stability.relu


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_public_function_and_class_has_a_docstring(module: str):
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    assert ast.get_docstring(tree)
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_pages_about_the_package_document_every_public_name(module: str):
    pages = ROOT / "_build" / "html" / "book"
    if not pages.is_dir():
        pytest.skip("the book is not built")
    text = "".join(path.read_text("utf-8") for path in pages.glob("package*.html"))
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    public = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    if module == f"{PACKAGE}.api":
        return
    assert [name for name in public if f'id="{module}.{name}"' not in text] == []
