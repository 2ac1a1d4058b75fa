"""The ports of the documentation, as they are and with known bugs planted, and what runs them."""

from __future__ import annotations

import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

import playwright
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs" / "golden"
JAVASCRIPT, C = DOCS / "reader.js", DOCS / "reader.c"

# Each bug as a change of one place of the port's text.
IN_JAVASCRIPT = {
    "bias_in_weights": ("experts.map((e) => scores[e])", "experts.map((e) => select[e])"),
    "no_renormalize": ("d.renormalize ?", "false ?"),
    "mask_zero": (": -Infinity));\n  }\n  const experts", ": 0));\n  }\n  const experts"),
    "group_score": ("best(members, d.group_score_of)", "best(members, 3 - d.group_score_of)"),
    "double_softmax": (
        "const scores = score(d, logits);",
        "const scores = score(d, score(d, logits));",
    ),
    "p_over_topk": (
        "made[t].scores[e] / sum",
        "made[t].experts.includes(e) * made[t].scores[e] / sum",
    ),
    "f_sums_to_k": ("/ (d.k * tokens.length)", "/ tokens.length"),
    "concatenated_layers": (
        "sum(layers.map(ofLayer)) / layers.length",
        "ofLayer(layers.flat())",
    ),
}
IN_C = {
    "bias_in_weights": ("weights[j] = scores[experts[j]]", "weights[j] = select[experts[j]]"),
    "no_renormalize": ('if (value("renormalize"))', "if (0)"),
    "mask_zero": ("[e / size]) select[e] = -INFINITY", "[e / size]) select[e] = 0"),
    "group_score": ('best_of = value("group_score_of")', 'best_of = 3 - value("group_score_of")'),
    "double_softmax": ("scores[e] = sigmoid(logits[e])", "scores[e] = sigmoid(sigmoid(logits[e]))"),
}  # fmt: skip


def planted(port: Path, bugs: dict[str, tuple[str, str]], bug: str) -> str:
    """The text of a port with a bug in it, or without."""
    text = port.read_text("utf-8")
    if not bug:
        return text
    right, wrong = bugs[bug]
    assert text.count(right) == 1, f"{port.name} has {right!r} {text.count(right)} times"
    return text.replace(right, wrong)


@cache
def node() -> str:
    """A program that runs JavaScript: the system's, or the one that drives the tests' browser."""
    driver = Path(playwright.__file__).parent / "driver"
    return shutil.which("node") or str(next(driver.glob("node*")))


@cache
def compiler() -> str:
    """A C compiler; a system without one cannot run the port in C."""
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found is None:
        pytest.skip(f"{platform.platform()} has no cc, gcc or clang")
    return found


def lines_of(*command: str | Path) -> list[str]:
    """What a port prints, which ends well or with what differs."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1) and not done.stderr, done.stderr
    return done.stdout.splitlines()


def said_in_javascript(folder: Path, files: list[Path], bug: str = "") -> list[str]:
    """Lines of the port in JavaScript about these files."""
    port = folder / f"port-{bug}.js"
    port.write_text(planted(JAVASCRIPT, IN_JAVASCRIPT, bug), "utf-8")
    return lines_of(node(), port, *files)


def compiled(folder: Path, bug: str = "") -> Path:
    """The port in C as a program."""
    source, program = folder / f"port-{bug}.c", folder / f"port-{bug}"
    source.write_text(planted(C, IN_C, bug), "utf-8")
    command = [compiler(), "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", program, source, "-lm"]
    subprocess.run(command, check=True, timeout=60)
    return program
