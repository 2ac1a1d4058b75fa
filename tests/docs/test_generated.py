"""The generated pages say what the code does today."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import fields, replace
from html import unescape
from typing import Any

import pytest
import yaml

import moe
from docs import hooks
from docs.generator import ablation, lessons, site, slides, tables
from docs.generator.ablation import ablate, brief, conditions, pairs_of, read, table_rows
from docs.generator.docstrings import of_class, parse, to_cell, to_markdown, values_of
from moe.capacity import DROP_POLICIES, Capacity

AGAIN = "run `make pages` and commit what it writes"
FIGURES = dict(site.figures())
METHODS = [*moe.ROUTERS.values(), *moe.BALANCERS.values()]
TINY = moe.TrainSettings(
    task="spirals", d_model=8, d_expert=4, n_experts=6, batch=32, steps=2, capacity_factor=1.0,
    drop="order",
)  # fmt: skip


def committed(name: str) -> str:
    path = site.HERE / name
    assert path.exists(), f"docs/{name} is missing: {AGAIN}"
    return path.read_text("utf-8")


def words_in(name: str) -> str:
    return unescape(site.described(committed(name)))


def same_up_to_rounding(one: str, other: str) -> bool:
    """Whether two texts differ in numbers only, and in these by what another CPU may change."""
    number = r"\d+(?:\.\d+)?"
    pairs = zip(re.findall(number, one), re.findall(number, other), strict=False)
    close = all(abs(float(a) - float(b)) <= 0.15 + 0.1 * float(a) for a, b in pairs)
    return close and re.sub(number, "#", one) == re.sub(number, "#", other)


# Pages -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return site.pages({name: words_in(name) for name in FIGURES})


def test_every_page_is_what_the_code_would_write(made):
    differing = [name for name, text in made.items() if committed(name) != text]
    assert not differing, f"{differing}: {AGAIN}"


def test_no_page_or_picture_of_a_method_that_is_gone(made):
    assert not site.stale(made | dict.fromkeys(FIGURES, ""))


def test_a_changed_docstring_would_be_noticed(made, monkeypatch):
    monkeypatch.setattr(moe.ROUTERS["hash"], "__doc__", "Something else.")
    other = site.method_pages({name: words_in(name) for name in FIGURES})
    assert [name for name in other if made[name] != other[name]] == ["methods/routers/hash.md"]


def test_every_method_and_policy_has_its_page_and_picture(made):
    for registry, folder in ((moe.ROUTERS, "routers"), (moe.BALANCERS, "balancers")):
        for name, method in registry.items():
            page = made[f"methods/{folder}/{name}.md"]
            assert f"# {to_markdown(method.title)}\n" in page
            assert f"]({name}.svg)" in page
    for drop in DROP_POLICIES:
        assert f"](capacity-{drop}.svg)" in made["methods/capacity.md"]


def test_links_between_generated_pages_lead_somewhere(made):
    for name, text in made.items():
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not target.startswith("http"):
                assert ((site.HERE / name).parent / target).exists(), f"{name}: {target}"


def navigation() -> list[Any]:
    text = committed("../mkdocs.yml")
    listed: list[Any] = yaml.safe_load(re.search(r"^nav:\n(?:  .*\n)+", text, re.M)[0])["nav"]
    return listed


def places(nav: list[Any]) -> list[str]:
    """Pages of a navigation in the order of their `Next` links."""
    found = []
    for entry in nav:
        ((_, place),) = entry.items()
        found += places(place) if isinstance(place, list) else [place]
    return found


def test_the_navigation_lists_every_page_once(made):
    listed = places(hooks.filled(navigation()))
    written = {path.relative_to(site.HERE).as_posix() for path in site.HERE.rglob("*.md")}
    written = {name for name in written if not name.startswith(f"{slides.FOLDER}/")}
    assert sorted(listed) == sorted(written | set(made) | set(lesson_pages()))


def lesson_pages() -> list[str]:
    return [place for entry in lessons.navigation() for place in entry.values()]


def test_the_navigation_has_four_groups_and_lessons_come_before_what_is_looked_up():
    nav = navigation()
    assert [title for entry in nav for title in entry] == [
        "MoEscope", "Learn", "Look up", "Use", "Inside",
    ]  # fmt: skip
    order = places(hooks.filled(nav))
    assert order.index("glossary.md") < order.index("methods/index.md")
    assert order.index("methods/index.md") < order.index("check-gate.md")


# Docstrings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_docstring_says_what_every_option_means(method):
    doc = of_class(method)
    assert doc.prose
    assert not [f.name for f in fields(method) if not doc.parameters.get(f.name)]


@pytest.mark.parametrize("router", moe.ROUTERS.values(), ids=lambda router: router.name)
def test_every_router_has_a_worked_example(router):
    assert ">>> " in of_class(router).example


def test_every_drop_policy_is_explained():
    assert set(values_of(of_class(Capacity).parameters["drop"])) == set(DROP_POLICIES)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_formula_is_whole(method):
    text = method.formula
    assert "$" not in text
    assert text.count("{") == text.count("}")
    assert re.findall(r"\\begin\{(.*?)\}", text) == re.findall(r"\\end\{(.*?)\}", text)
    assert len(re.findall(r"\\left(?![a-z])", text)) == len(re.findall(r"\\right(?![a-z])", text))


def test_a_docstring_is_taken_apart():
    doc = parse(
        """Route it.

        More of x_i * y.

        Parameters
        ----------
        a, b
            First line,
            second one.
        how
            One of these:

            - 'near': close by.
            - 'far': a long
              way off.

        Examples
        --------
        >>> 1 + 1
        2
        """
    )
    assert doc.prose == "Route it.\n\nMore of x_i * y."
    assert doc.parameters["a"] == doc.parameters["b"] == "First line, second one."
    assert values_of(doc.parameters["how"]) == {"near": "Close by.", "far": "A long way off."}
    assert to_cell(doc.parameters["how"]).count("<br>• ") == 2
    assert doc.example == ">>> 1 + 1\n2"
    assert to_markdown("x_i * `y_i * 2`, arXiv 2101.03961") == (
        r"x\_i \* `y_i * 2`, [arXiv 2101.03961](https://arxiv.org/abs/2101.03961)"
    )


# Pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_a_picture_shows_what_a_run_gives(name):
    assert same_up_to_rounding(words_in(name), FIGURES[name]().alt), f"docs/{name}: {AGAIN}"


@pytest.mark.parametrize("name", FIGURES)
def test_a_picture_is_light_and_asks_nobody(name):
    text = committed(name)
    assert len(text.encode()) < 60_000
    root = ET.fromstring(text)
    marks = [node for node in root.iter() if node.tag.endswith(("path", "line", "text"))]
    assert len(marks) > 20
    assert not re.search(r'(?:href|src)="|url\(', text)


def test_other_numbers_or_words_are_noticed():
    assert same_up_to_rounding("MaxVio 2.17, at 3 experts", "MaxVio 2.20, at 3 experts")
    assert not same_up_to_rounding("MaxVio 2.17", "MaxVio 1.02")
    assert not same_up_to_rounding("MaxVio 2.17", "MinVio 2.17")


# Ablation --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows() -> list[ablation.Row]:
    return read(tables.RESULTS)[1]


def test_the_table_has_every_router_alone_and_with_all_that_suit_it(rows):
    assert sorted((row.router, row.balance) for row in rows) == sorted(ablation.plan())
    assert len({row["router"] for row in table_rows(rows)}) >= 12


def test_the_table_was_made_under_the_settings_of_today():
    assert moe.TrainSettings(**read(tables.RESULTS)[0]["settings"]) == ablation.FULL


@pytest.mark.parametrize("router", moe.ROUTERS)
def test_brief_runs_still_come_to_what_stands_in_the_table(router, rows):
    own = [row for row in rows if row.router == router]
    differing = [row.balance for row in own if not row.brief.close_to(brief(router, row.balance))]
    assert not differing, f"{differing}: run `make pages ARGS=--ablation`"


def test_the_best_balancer_is_even_and_costs_no_loss(rows):
    for pair in pairs_of(rows):
        assert pair.best.full.max_vio <= pair.none.full.max_vio
        assert pair.best.full.held_out_loss <= 1.01 * pair.none.full.held_out_loss
    chosen = [pair.best.balance for pair in pairs_of(rows)]
    assert any(name != "none" for name in chosen)


def test_a_killed_ablation_goes_on_where_it_was(tmp_path):
    path, pairs = tmp_path / "rows.jsonl", [("topk", "none"), ("topk", "bias"), ("relu", "none")]
    first = ablate(path, pairs, TINY)
    assert next(first)[1]
    first.close()
    with path.open("a") as file:
        file.write('{"router": "topk", "bal')  # cut short

    again = list(ablate(path, pairs, TINY))
    assert [new for _, new in again] == [False, True, True]
    assert read(path) == (conditions(TINY), [row for row, _ in again])
    assert not any(new for _, new in ablate(path, pairs, TINY))


def test_a_row_is_run_again_when_its_method_behaves_otherwise(tmp_path, monkeypatch):
    path, pairs = tmp_path / "rows.jsonl", [("topk", "none"), ("topk", "bias")]
    list(ablate(path, pairs, TINY))
    monkeypatch.setattr(moe.BALANCERS["bias"], "short_run_rate", 0.5)
    assert [new for _, new in ablate(path, pairs, TINY)] == [False, True]


def test_rows_of_other_settings_are_not_mixed_in(tmp_path):
    path, pairs = tmp_path / "rows.jsonl", [("topk", "none")]
    list(ablate(path, pairs, TINY))
    before = path.read_text("utf-8")
    with pytest.raises(ValueError, match=r"path: got .* other settings"):
        next(ablate(path, pairs, replace(TINY, seed=1)))
    assert path.read_text("utf-8") == before
