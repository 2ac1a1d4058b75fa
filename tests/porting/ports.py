"""The ports of the documentation, as they are and with known bugs planted, and what runs them."""

from __future__ import annotations

import os
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
# What else goes wrong, by the token that tests it: each a change of some places.
MISTAKES = {
    "two equal experts for the last place: the lower number": {"|| a - b)": "|| b - a)"},
    "all experts equal": {"|| a - b)": "|| b - a)"},
    "two equal groups: the one of lower numbers is in reach": {"|| a - b)": "|| b - a)"},
    "logits of hundreds: the exponential overflows": {
        "Math.exp(v - Math.max(...values))": "Math.exp(v)",
        "Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)))": "Math.log(1 + Math.exp(v))",
    },
    "scores close to zero: what is added to their sum shows": {"+ d.norm_eps": "+ 0"},
    "weights are not divided by their sum": {"d.renormalize ?": "true ?"},
    "an expert chosen for its bias alone weighs next to nothing": {
        "d.select_bias_E ? d.select_bias_E[e] : 0": "0"
    },
    "the best expert is in a group out of reach": {"d.topk_group < d.n_group": "false"},
    "one of the k best is in a group out of reach": {"d.topk_group < d.n_group": "false"},
    "groups rank by their best expert": {"d.group_score_of)": "3 - d.group_score_of)"},
    "an expert that returns what it gets": {"input : network(": "x.map(() => 0) : network("},
    "two experts of close logits share a weight": {"> 2 * d.jitter_eps": "> 0"},
    "a clear first and a clear second: both weigh one": {"> 2 * d.jitter_eps": "> 1e9"},
    "what goes into the activation is beyond its limit": {"d.limit ?? Infinity": "Infinity"},
}
IN_C = {
    "bias_in_weights": ("weights[j] = scores[experts[j]]", "weights[j] = select[experts[j]]"),
    "no_renormalize": ('if (value("renormalize"))', "if (0)"),
    "mask_zero": ("[e / size]) select[e] = -INFINITY", "[e / size]) select[e] = 0"),
    "group_score": ('best_of = whole("group_score_of"', 'best_of = 3 - whole("group_score_of"'),
    "double_softmax": ("scores[e] = sigmoid(logits[e])", "scores[e] = sigmoid(sigmoid(logits[e]))"),
}  # fmt: skip


def planted(port: Path, places: dict[str, str]) -> str:
    """The text of a port with a bug in some places of it, each of which is there once."""
    text = port.read_text("utf-8")
    for right, wrong in places.items():
        assert text.count(right) == 1, f"{port.name} has {right!r} {text.count(right)} times"
        text = text.replace(right, wrong)
    return text


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


def ended(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """How a port ended, and what it printed."""
    surroundings = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=60, env=surroundings
    )


def lines_of(*command: str | Path) -> list[str]:
    """What a port prints, which ends well or with what differs."""
    done = ended(*command)
    assert done.returncode in (0, 1) and not done.stderr, done.stderr
    return done.stdout.splitlines()


def said_in_javascript(
    folder: Path, files: list[Path], places: dict[str, str] | None = None
) -> list[str]:
    """Lines of the port in JavaScript about these files, with a bug in some places."""
    port = folder / "port.js"
    port.write_text(planted(JAVASCRIPT, places or {}), "utf-8")
    return lines_of(node(), port, *files)


CHECKS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def compiled(folder: Path, bug: str = "", checks: bool = False) -> Path:
    """The port in C as a program, where asked for with a check of every use of memory."""
    source, program = folder / f"port-{bug}.c", folder / f"port-{bug}"
    source.write_text(planted(C, dict([IN_C[bug]] if bug else [])), "utf-8")
    command = [compiler(), "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", program, source, "-lm"]
    # Without the checks' library a wrong use of memory shows only where it ends the program.
    if (
        checks
        and subprocess.run([*command, *CHECKS], capture_output=True, timeout=60).returncode == 0
    ):
        return program
    subprocess.run(command, check=True, timeout=60)
    return program
