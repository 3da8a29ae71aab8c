"""Mutants: the code with one operator, constant or guard changed, which some test must notice.

    python tools/mutants.py [--count 130] [--seed 0] [--jobs 2] [--timeout 300] [--out FILE] [NAME]

Lists every place of the core and of the experiments where a change is possible, draws some, and
runs the tests on a copy of the package with each: those of the module first, then all of its wing,
but those that are marked as slow.
NAME, such as ``spectral``, keeps to the places in that module. Prints a line a mutant and the
share that was killed, with a test that failed or took longer than the timeout (in seconds).
Mutants that change nothing are in ``equivalent_mutants.toml`` with the reason and count for
nothing; lines that only a GPU reaches are left out. Exit status 1 if fewer than 95 % of the others
are killed, 2 if the tests fail without any change.
"""

import argparse
import ast
import copy
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "forward_stability"
EXPERIMENTS = (
    "training", "evaluation", "noise", "config", "runs", "ledger", "data", "sweep", "radii",
    "storage",
)  # fmt: skip
WANTED = 0.95

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip

GPU = re.compile(r"cuda|\bgpu\b|COMPILE_FROM")
"""Lines that only a GPU reaches; ``cuda_graph.py`` holds nothing else and is left out."""

EQUIVALENT = {
    (entry["file"], entry["source"], entry["change"]): entry["why"]
    for entry in tomllib.loads((ROOT / "tools" / "equivalent_mutants.toml").read_text())["mutant"]
}
"""By file, source line and change: why no test can notice."""


@dataclass
class Mutant:
    """A change of one place, and what the tests said to it."""

    file: str
    line: int
    source: str
    change: str
    start: int
    end: int
    text: str
    outcome: str = ""
    by: str = ""


def has_opposite(test: ast.expr) -> bool:
    """Whether another change of a condition already makes it the opposite."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return not isinstance(test.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
    return isinstance(test, ast.UnaryOp)


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may become."""
    for field in ("op", "ops"):
        operator = getattr(node, field, None)
        operator = operator[0] if isinstance(operator, list) else operator
        if isinstance(operator, ast.AST) and type(operator) in OPERATORS:
            changed, new = copy.deepcopy(node), OPERATORS[type(operator)]()
            setattr(changed, field, [new, *changed.ops[1:]] if field == "ops" else new)  # type: ignore
            yield changed
    match node:
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() as n):
            yield ast.Constant(n + 1)
        case ast.Constant(value=float() as x):
            yield ast.Constant(2 * x or 1.0)
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield node.operand
        case ast.If() | ast.IfExp() | ast.While() if not has_opposite(node.test):
            yield ast.UnaryOp(ast.Not(), node.test)
        case ast.Expr(value=ast.Call()) if "super()" not in ast.unparse(node):
            yield ast.Pass()


def reached(node: ast.AST) -> Iterator[ast.AST]:
    """A node and those below it, without messages, annotations, decorators, zip's ``strict``."""
    if isinstance(node, ast.Raise | ast.JoinedStr) or getattr(node, "arg", "") == "strict":
        return
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from reached(child)


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a file."""
    source = path.read_bytes()
    lines = source.splitlines(keepends=True)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    for node in reached(ast.parse(source)):
        for changed in changes(node):
            place = node.test if isinstance(node, ast.If | ast.IfExp | ast.While) else node
            assert isinstance(place, ast.expr | ast.stmt)
            if GPU.search(lines[place.lineno - 1].decode()):
                continue
            new = ast.unparse(ast.fix_missing_locations(changed))
            yield Mutant(
                file=path.relative_to(PACKAGE).as_posix(),
                line=place.lineno,
                source=lines[place.lineno - 1].decode().strip(),
                change=f"{ast.unparse(place)} → {new}",
                start=offsets[place.lineno - 1] + place.col_offset,
                end=offsets[(place.end_lineno or 0) - 1] + (place.end_col_offset or 0),
                text=f"({new})" if isinstance(place, ast.expr) else new,
            )


def run_tests(mutant: Mutant | None, tests: list[str], timeout: float) -> tuple[int | None, str]:
    """The exit status of pytest on a copy with the mutant, None if it took too long; its output."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        package = top / "src" / PACKAGE.name
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        for folder in ("results", "sweeps", "studies", "benchmarks"):  # the tests look for them
            (top / folder).symlink_to(ROOT / folder)
        if mutant is not None:
            content = (package / mutant.file).read_bytes()
            content = content[: mutant.start] + mutant.text.encode() + content[mutant.end :]
            (package / mutant.file).write_bytes(content)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-m", "not slow"]
        command += ["-o", "addopts=", "-p", "no:nbval", "-p", "no:cacheprovider"]
        command += ["--basetemp", str(top / "tmp")]
        settings = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            [*command, *tests],
            cwd=ROOT,
            env=os.environ | settings | {"PYTHONPATH": str(top / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, ""
        return process.returncode, output


def wing_of(file: str) -> str:
    return "tests/experiments" if file.startswith("experiments/") else "tests/core"


def judge(mutant: Mutant, timeout: float) -> Mutant:
    """Run the tests of the module, then those of its wing, until one fails."""
    wing = wing_of(mutant.file)
    own = f"{wing}/test_{Path(mutant.file).stem}.py"
    stages = [[own], [wing, f"--ignore={own}"]] if (ROOT / own).is_file() else [[wing]]
    mutant.outcome = "survived"
    for tests in stages:
        status, output = run_tests(mutant, tests, timeout)
        if status != 0:
            found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
            mutant.outcome = "killed"
            mutant.by = "timeout" if status is None else found[1] if found else "on import"
            break
    else:
        reason = EQUIVALENT.get((mutant.file, mutant.source, mutant.change))
        if reason is not None:
            mutant.outcome, mutant.by = "equivalent", reason
    change = textwrap.shorten(mutant.change, 160)
    print(f"{mutant.file}:{mutant.line}: {change}: {mutant.outcome} {mutant.by}", flush=True)
    return mutant


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="modules to keep to")
    parser.add_argument("--count", type=int, default=130, help="mutants to draw")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--timeout", type=float, default=300, help="seconds of a run of tests")
    parser.add_argument("--out", type=Path, help="a JSON file for the table")
    args = parser.parse_args()
    paths = [*sorted(PACKAGE.glob("*.py")), *(PACKAGE / f"experiments/{n}.py" for n in EXPERIMENTS)]
    paths = [path for path in paths if path.stem in args.names or not args.names]
    places = [mutant for path in paths for mutant in mutants_of(path)]
    drawn = random.Random(args.seed).sample(places, min(args.count, len(places)))
    status, output = run_tests(None, sorted({wing_of(m.file) for m in drawn}), 10 * args.timeout)
    if status != 0:
        print(f"the tests fail without a change:\n{output}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(args.jobs) as pool:
        judged = list(pool.map(lambda mutant: judge(mutant, args.timeout), drawn))
    counted = [mutant for mutant in judged if mutant.outcome != "equivalent"]
    killed = sum(mutant.outcome == "killed" for mutant in counted)
    share, same = killed / len(counted), len(judged) - len(counted)
    print(f"{killed} of {len(counted)} killed ({share:.1%}), {same} equivalent")
    if args.out:
        kept = ("file", "line", "source", "change", "outcome", "by")
        table = [{key: asdict(mutant)[key] for key in kept} for mutant in judged]
        summary = {"seed": args.seed, "places": len(places), "killed": killed, "of": len(counted)}
        args.out.write_text(json.dumps(summary | {"mutants": table}, indent=1, ensure_ascii=False))
    return int(share < WANTED)


if __name__ == "__main__":
    sys.exit(main())
