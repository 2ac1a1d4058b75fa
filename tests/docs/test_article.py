"""The page on the article: its commands print the figures of their rows, and its words follow."""

from __future__ import annotations

import re
import shlex
import shutil
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs.generator import article, scores
from docs.generator.article import statements
from moe.cli.main import command_line
from moe.cost import MODELS, TrainingCost

# A figure by itself: not a part of a name such as H800 or V3.
NUMBER = re.compile(r"(?<![\w.,-])\d[\d,]*(?:\.\d+)?(?:e\+\d+)?")
NAMES = re.compile(r"arXiv [\d.]+(?:v\d)?|(?:section|table|equation)s? [\d.]+|H\d+s?|\dD\b")


def numbers(text: str) -> set[str]:
    return set(NUMBER.findall(NAMES.sub(" ", text)))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide screen, and a trace of the name that the page uses."""
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)
    shutil.copy(str(files("moe.data").joinpath("samples/balanced.npz")), tmp_path / "trace.npz")


@cache
def printed(command: str) -> str:
    words = shlex.split(command)
    assert words[0] == "moe"
    done = CliRunner().invoke(command_line(), words[1:])
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_the_commands_of_a_row_print_its_figures() -> None:
    """One test of all rows: to list them here, each process of the suite would compute them."""
    rows = [row for row in statements() if row.commands]
    assert len(rows) > 5
    for row in rows:
        said = numbers(row.computed) - set(row.apart)
        output = " ".join(map(printed, row.commands))
        given = numbers(re.sub(r"[%$BMTK]", " ", output))
        assert len(said) >= 2 and said <= given, (row.said, said - given)
        for command in row.commands:  # and none is there for nothing
            if len(row.commands) > 1:
                assert numbers(printed(command)) & said, command


def test_a_row_says_apart_only_what_it_has() -> None:
    for row in statements():
        assert set(row.apart) <= numbers(row.computed), row.said
        assert bool(row.commands) or not numbers(row.computed)


def exchanges(text: str) -> list[float]:
    """Sums of '1,202 + 2,301', in the order of the text."""
    found = re.findall(r"([\d.,]+) \+ ([\d.,]+)", text)
    return [float(a.replace(",", "")) + float(b.replace(",", "")) for a, b in found]


def test_quotients_are_those_of_the_printed_figures() -> None:
    rows = {row.said: row.computed for row in statements()}
    dispute = rows["Experts dispute the figure."]
    low, high = map(float, re.findall(r"\$([\d.]+)M", dispute)[:2])
    assert f"a factor of {high / low:.1f}" in dispute

    h800 = rows["It ran on H800s, far weaker than H100s."]
    times = exchanges(h800)
    slower = [a / b for a, b in zip(times[::2], times[1::2], strict=True)]
    said = re.findall(r"\(([\d.]+)(?: times as long)?\)", h800)
    assert slower == pytest.approx([float(one) for one in said], abs=0.006)

    moved = rows["It got far by reducing the time spent moving data around."]
    uneven, limited, even, even_limited, *_ = exchanges(moved)
    less = [float(one) for one in re.findall(r"([\d.]+) times less", moved)]
    assert less == pytest.approx([uneven / limited, even / even_limited], abs=0.051)
    copies = [float(one) for one in re.findall(r"token: (\d) .*?, ([\d.]+), ", moved)[0]]
    assert f"{copies[0] / copies[1]:.1f} times fewer" in moved

    other = rows["The other figure: closer to $50–100M, even for specialised models."]
    work = TrainingCost("llama-3.1-405b").train_flops / TrainingCost("deepseek-v3").train_flops
    assert f"{work:.1f} times as many in {30.84 / 2.664:.1f} times the hours" in other
    hours = {model.name: model.gpu_hours for model in MODELS.values() if model.gpu_hours}
    assert f"The {len(hours) - 2} other models" in other
    assert f"${hours['gpt-oss-20b'] * 2:,.0f}" in other and "$14M (Llama-3.1-70B)" in other

    fits = printed("moe decode --gpu rtx-4090").count("│ yes")
    assert f"{fits} of {len(MODELS)} models" in rows["Open weights: anyone can run it locally."]


def test_scores_are_counted_and_shown_as_printed() -> None:
    ahead, behind = scores.leads()
    assert (len(ahead), len(behind)) == (5, 6)
    assert set(ahead) == {"DROP", "LiveCodeBench", "SWE Verified", "AIME 2024", "MATH-500"}
    text = scores.cited()
    assert "ahead in 5 of these 11" in text and "o1-1217 in 6" in text
    assert "| GPT-4o | 9.3 | 74.6 | 49.9 | 34.2 | 759 |" in text  # the main table's, not 32.9
    assert "| SimpleQA | 30.1 | 47.0 |" in text
    assert all(len(values) == len(scores.OF_DISTILLED) for values in scores.OTHERS.values())
    rivals = next(row for row in statements() if row.said == "It rivals the best.")
    assert "leads in 5 and o1-1217 in 6" in rivals.verdict


def test_no_page_leads_to_a_server_that_the_reader_may_not_have() -> None:
    docs = Path(article.__file__).parents[1]
    for page in docs.glob("**/*.md"):
        assert not re.search(r"\]\(https?://(localhost|127\.)", page.read_text("utf-8")), page.name
