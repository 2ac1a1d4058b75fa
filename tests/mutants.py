"""Random mutants of the experiments, the charts and the metrics: does a test notice each of them?

    python -m tests.mutants --tried 200 --seed 1

One pass over the tests records which of them run which line. Then, one at a time, one place of the
code is changed as a slip would have it, in a copy of the tree, and the tests that run that line are
run until one fails. A place is drawn in two steps, first what is changed and then where, since
texts and numbers would else be nearly all there is.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MUTATED = (
    "moe/app", "moe/gates", "moe/pictures", "moe/speed", "moe/studies", "moe/sweeps", "moe/traces",
    "moe/cluster", "moe/cost", "moe/metrics.py",
)  # fmt: skip
# Tests that look at other things, or whose work is done in other processes.
ELSEWHERE = (
    "tests/kernels", "tests/e2e", "tests/parity", "tests/cluster/test_mpi.py",
    "tests/test_batch_invariance.py", "tests/test_arrays.py", "tests/test_wrong_arrays.py",
    "tests/sweeps/test_kills.py", "tests/test_mutants.py", "tests/test_project.py",
)  # fmt: skip
LONGEST = 120.0  # seconds of tests that a mutant is given; an endless loop counts as noticed
LIVED, NOTICED = 10, 11  # exit codes
N_WORKERS = max(1, os.cpu_count() or 1)

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
}  # fmt: skip
NAMES = {
    "min": "max", "max": "min", "any": "all", "all": "any", "argmin": "argmax",
    "argmax": "argmin", "mean": "sum", "sum": "max", "zeros": "ones", "ones": "zeros",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One place of one file, changed in one way."""

    file: str  # below the root of the tree
    kind: str
    line: int  # first line of the statement
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.kind}: {self.before} -> {self.after}"


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every way of changing this node alone: what is changed, and the changed node."""
    new = copy.copy(node)  # what is below stays the old one, and lists are made anew
    if isinstance(new, ast.Compare) and type(new.ops[0]) in COMPARISONS:
        new.ops = [COMPARISONS[type(new.ops[0])](), *new.ops[1:]]
        yield "comparison", new
    elif isinstance(new, ast.BinOp) and type(new.op) in ARITHMETIC:
        new.op = ARITHMETIC[type(new.op)]()
        yield "arithmetic", new
    elif isinstance(new, ast.BoolOp):
        new.op = ast.Or() if isinstance(new.op, ast.And) else ast.And()
        yield "logic", new
    elif isinstance(new, ast.UnaryOp) and isinstance(new.op, ast.Not):
        yield "logic", new.operand
    elif isinstance(new, ast.IfExp):
        new.body, new.orelse = new.orelse, new.body
        yield "logic", new
    elif isinstance(new, ast.Constant):
        if isinstance(new.value, bool):
            new.value = not new.value
            yield "logic", new
        elif isinstance(new.value, int | float):
            new.value = new.value + 1 if isinstance(new.value, int) else 2 * new.value + 1
            yield "number", new
        elif isinstance(new.value, str) and new.value.strip():
            new.value = f"{new.value}~"
            yield "word", new
    elif isinstance(new, ast.List | ast.Tuple) and len(new.elts) > 1:
        if isinstance(new.ctx, ast.Load) and not any(isinstance(e, ast.Starred) for e in new.elts):
            new.elts = [new.elts[1], new.elts[0], *new.elts[2:]]
            yield "order", new
    elif isinstance(new, ast.Call):
        if isinstance(new.func, ast.Name) and new.func.id in NAMES:
            new.func = ast.Name(NAMES[new.func.id], new.func.ctx)
            yield "function", new
        elif isinstance(new.func, ast.Attribute) and new.func.attr in NAMES:
            new.func = ast.Attribute(new.func.value, NAMES[new.func.attr], new.func.ctx)
            yield "function", new
        elif len(new.args) > 1 and not any(isinstance(a, ast.Starred) for a in new.args[:2]):
            new.args = [new.args[1], new.args[0], *new.args[2:]]
            yield "order", new


def _is_text_about(node: ast.stmt) -> bool:
    """Is this a docstring or an import, of which a change would mean nothing?"""
    return isinstance(node, ast.Import | ast.ImportFrom) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


@dataclass(frozen=True)
class Place:
    """A place in a syntax tree, and what may stand there instead."""

    kind: str
    line: int
    parent: ast.AST
    field: str
    index: int
    old: ast.AST
    new: ast.AST


def places(tree: ast.AST) -> Iterator[Place]:
    """Every change of a file, in the order of its text.

    Annotations, decorators and the words of errors are left alone.
    """

    def visit(node: ast.AST, line: int, says: bool) -> Iterator[Place]:
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "type_params", "decorator_list", "names"):
                continue
            for i, child in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(child, ast.AST):
                    continue
                if isinstance(child, ast.stmt) and _is_text_about(child):
                    continue
                at = child.lineno if isinstance(child, ast.stmt) else line
                quoting = says or isinstance(child, ast.Raise)
                for kind, new in _changes(child):
                    words = kind in ("word", "order")
                    same = kind == "order" and ast.dump(child) == ast.dump(new)
                    if not (same or (quoting and words) or isinstance(node, ast.JoinedStr)):
                        yield Place(kind, at, node, field, i, child, new)
                yield from visit(child, at, quoting)

    return visit(tree, 1, False)


def mutant(file: str, source: str, number: int) -> Mutant:
    """The file with the change of that number made."""
    tree = ast.parse(source)
    place = next(itertools.islice(places(tree), number, None))
    before, after = ast.unparse(place.old), ast.unparse(place.new)
    _put(place.parent, place.field, place.index, place.new)
    changed = ast.unparse(ast.fix_missing_locations(tree))
    return Mutant(file, place.kind, place.line, before[:90], after[:90], changed)


def _put(parent: ast.AST, name: str, i: int, child: ast.AST) -> None:
    value = getattr(parent, name)
    if isinstance(value, list):
        value[i] = child
    else:
        setattr(parent, name, child)


def drawn(n: int, seed: int, only: tuple[str, ...] = MUTATED) -> list[Mutant]:
    """N mutants of files that begin so; first their kind, then their place drawn; none twice."""
    sources: dict[str, str] = {}
    of_kind: dict[str, list[tuple[str, int]]] = {}
    for where in MUTATED:
        below = ROOT / where
        for path in sorted(below.glob("*.py")) if below.is_dir() else [below]:
            file = str(path.relative_to(ROOT))
            if not file.startswith(only):
                continue
            sources[file] = path.read_text("utf-8")
            for number, place in enumerate(places(ast.parse(sources[file]))):
                of_kind.setdefault(place.kind, []).append((file, number))
    draw = random.Random(seed)
    chosen: dict[tuple[str, int], None] = {}
    while len(chosen) < n:
        chosen[draw.choice(of_kind[draw.choice(sorted(of_kind))])] = None
    return [mutant(file, sources[file], number) for file, number in chosen]


# ---- Which test runs which line: one pass of the tests, in a process of its own.


class Recorder:
    """A pytest plugin that names the running test to coverage, and notes how long each took."""

    def __init__(self, coverage: object) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: object) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


def record(tests: list[str], out: Path) -> int:
    """Run these tests under coverage, and write which of them runs which line of which file."""
    import pytest
    from coverage import Coverage

    looked_at = [where if where.endswith(".py") else f"{where}/*" for where in MUTATED]
    coverage = Coverage(data_file=None, include=looked_at, config_file=False)
    coverage.set_option("run:core", "ctrace")  # the one that can tell tests apart on every Python
    recorder = Recorder(coverage)
    coverage.start()
    code = pytest.main(["-q", "-p", "no:cacheprovider", *tests], plugins=[recorder])
    coverage.stop()
    data = coverage.get_data()
    here = Path.cwd()
    lines = {
        str(Path(file).relative_to(here)): {
            line: [name for name in names if name]
            for line, names in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    out.write_text(json.dumps({"seconds": recorder.seconds, "lines": lines}), "utf-8")
    return int(code)


@dataclass(frozen=True)
class Map:
    """Which tests run which line, and how long each test takes."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    @classmethod
    def read(cls, path: Path) -> Map:
        """Read a map that `write` wrote."""
        kept = json.loads(path.read_text("utf-8"))
        lines = {file: {int(n): t for n, t in at.items()} for file, at in kept["lines"].items()}
        return cls(kept["seconds"], lines)

    def write(self, path: Path) -> None:
        """Keep the map for further runs."""
        kept = {"seconds": self.seconds, "lines": self.lines}
        path.write_text(json.dumps(kept), "utf-8")

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests to run for a mutant, a file's together, quick files first.

        What stands outside of functions runs when a file is imported, in no test: there, all tests
        that run any line of the file.
        """
        lines = self.lines.get(mutant.file, {})
        names = set(lines.get(mutant.line, ()))
        if len(names) < 2:
            names |= {name for at in lines.values() for name in at}
        by_file: dict[str, list[str]] = {}
        for name in sorted(names, key=lambda name: (self.seconds.get(name, 0.0), name)):
            by_file.setdefault(name.split("::")[0], []).append(name)
        chosen: list[str] = []
        for group in sorted(by_file.values(), key=lambda group: self.seconds.get(group[0], 0.0)):
            chosen += group
        return chosen


def tree(where: Path) -> Path:
    """A copy of the tree to change."""
    skip = shutil.ignore_patterns(".git", ".venv", "site", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, where, ignore=skip)
    return where


def _environment(root: Path) -> dict[str, str]:
    """A process in a copy imports the copy, and never an older state of a changed file."""
    own = {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "MOE_NUM_THREADS": "1"}
    return os.environ | own


def _map(roots: list[Path]) -> Map:
    """One pass of all tests, divided among the copies, which also compiles what they need."""
    files = [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if not str(file.relative_to(ROOT)).startswith(ELSEWHERE)
    ]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.mutants", "--record", str(root / "lines.json"),
             *files[i :: len(roots)]],
            cwd=root, env=_environment(root), stdout=subprocess.PIPE, text=True,
        )
        for i, root in enumerate(roots)
    ]  # fmt: skip
    seconds: dict[str, float] = {}
    lines: dict[str, dict[int, list[str]]] = {}
    for process, root in zip(running, roots):
        said, _ = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"the tests fail before anything is changed:\n{said[-3000:]}")
        found = json.loads((root / "lines.json").read_text("utf-8"))
        seconds |= found["seconds"]
        for file, at in found["lines"].items():
            for line, names in at.items():
                lines.setdefault(file, {}).setdefault(int(line), []).extend(names)
    silent = [where for where in MUTATED if not any(file.startswith(where) for file in lines)]
    if silent:
        raise RuntimeError(f"no test runs a line of {', '.join(silent)}")
    return Map(seconds, lines)


# ---- One mutant at a time in each copy, in a process forked from one that has imported the rest.


class First:
    """A pytest plugin that writes down which test failed first."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def pytest_runtest_logreport(self, report: object) -> None:
        if report.failed and not self.file.exists():
            self.file.write_text(report.nodeid, "utf-8")


def _run(root: Path, tests: list[str], failed: Path) -> int:
    """Run tests of a copy until one fails, in a fork; what pytest says of it, 0 if none did."""
    import pytest

    os.setsid()
    os.chdir(root)
    os.environ.update(_environment(root))
    sys.path[:] = [str(root), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "--no-header"]
    return int(pytest.main([*quiet, *tests], plugins=[First(failed)]))


def _failing(root: Path, tests: list[str]) -> list[str]:
    """Tests of which one fails: the first that did, or all if they did not end; [] if none did."""
    failed = root / "failed"
    failed.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = _run(root, tests, failed)
        os._exit(code)
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            if status == 0:
                return []
            named = failed.read_text("utf-8") if failed.exists() else ""
            return [named] if named in tests else tests[:1]  # else no test could be read
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return tests


def _notices(root: Path, mutant: Mutant, tests: list[str]) -> bool:
    """Whether a test fails with the mutant that passes without it."""
    path = root / mutant.file
    before = path.read_text("utf-8")
    try:
        while tests:
            path.write_text(mutant.source, "utf-8")
            failing = _failing(root, tests)
            path.write_text(before, "utf-8")
            if not failing:
                return False
            if not _failing(root, failing):
                return True
            tests = [test for test in tests if test not in failing]  # it fails by itself
        return False
    finally:
        path.write_text(before, "utf-8")


def survivors(
    chosen: list[Mutant],
    work: Path,
    say: bool = False,
    map_file: Path | None = None,
    also: tuple[str, ...] = (),
) -> list[Mutant]:
    """Try mutants and return those that no test noticed.

    Parameters
    ----------
    work
        A folder for the copies.
    map_file
        Where the map of tests is kept, if it is made for several runs.
    also
        Tests that are run for every mutant, such as new ones that an older map does not have.
    """
    for name in ("altair", "hypothesis", "numba", "pandas", "pytest", "streamlit.testing.v1"):
        __import__(name)  # once, for all forks; and nothing of the tree that changes
    roots = [tree(work / f"copy{i}") for i in range(N_WORKERS)]
    if map_file and map_file.exists():
        tests = Map.read(map_file)
    else:
        tests = _map(roots)
        if map_file:
            tests.write(map_file)
    waiting, free, lived = chosen[::-1], list(roots), []
    running: dict[int, tuple[Path, Mutant, float]] = {}
    while waiting or running:
        while waiting and free:
            mutant, root = waiting.pop(), free.pop()
            pid = os.fork()
            if pid == 0:
                code = LIVED
                try:
                    noticed = _notices(root, mutant, [*also, *tests.tests_of(mutant)])
                    code = NOTICED if noticed else LIVED
                finally:
                    os._exit(code)
            running[pid] = root, mutant, time.monotonic()
        pid, status = os.wait()
        root, mutant, since = running.pop(pid)
        free.append(root)
        if os.waitstatus_to_exitcode(status) == LIVED:
            lived.append(mutant)
        if say:
            word = "lived  " if mutant in lived else "noticed"
            print(f"{time.monotonic() - since:5.1f} s  {word}  {mutant}", flush=True)
    return lived


def main() -> int:
    """Try mutants, and print those that lived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--tried", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=None, help="a folder for the copies")
    parser.add_argument("--only", nargs="+", default=MUTATED, help="how the files begin")
    parser.add_argument("--map", type=Path, help="keep the map of tests here, or take it from here")
    parser.add_argument("--also", nargs="+", default=(), help="tests to run for every mutant")
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("tests", nargs="*", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.record:
        return record(asked.tests, asked.record)
    chosen = drawn(asked.tried, asked.seed, tuple(asked.only))
    with tempfile.TemporaryDirectory() as folder:
        work = asked.work or Path(folder)
        lived = survivors(chosen, work, True, asked.map, tuple(asked.also))
    print(f"{asked.tried - len(lived)} of {asked.tried} mutants noticed; these lived:")
    for mutant in lived:
        print(f"  {mutant}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
