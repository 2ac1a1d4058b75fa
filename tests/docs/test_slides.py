"""Slides of the course plans: one for each row, whole in themselves, and printed one a page."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path

import pytest

from docs.generator import slides

TEACH = (slides.HERE / "teach.md").read_text("utf-8")
PLANS = {"one-hour": "One hour", "three-hours": "Three hours"}


def rows(name: str) -> list[str]:
    """What the plan's rows are about."""
    plan = TEACH.split(f"\n## {PLANS[name]}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| \d+ \| ([^|]+?) \|", plan, re.M)


@pytest.mark.parametrize("name", slides.DECKS)
def test_a_deck_has_a_slide_for_each_row_of_its_plan(name: str) -> None:
    one = slides.deck(name)
    assert [slide.title for slide in one.slides] == rows(name)
    minutes = re.findall(r"^\| (\d+) \|", TEACH.split(f"## {PLANS[name]}\n")[1], re.M)
    assert one.minutes == sum(map(int, minutes[: len(one.slides)]))
    assert f"](slides/{name}.md)" in TEACH


@pytest.mark.parametrize("name", slides.DECKS)
def test_a_deck_is_one_light_file_that_asks_nobody(name: str) -> None:
    html = slides.page(name)
    assert len(html) < 500_000
    assert html.count("<section") == 1 + len(rows(name))
    outside = re.findall(r'(?:src|href)="(?!data:)[^"]*"|url\([^)]*\)|@import', html)
    assert not outside
    drawings = re.findall(r'<img [^>]*alt="([^"]+)" src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert len(drawings) >= 3
    assert all(b64decode(drawn).startswith(b"<svg") for _, drawn in drawings)
    assert "```" not in html


def test_a_text_without_a_head_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "HERE", tmp_path)
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "bare.md").write_text("## A slide\n\nWords\n", "utf-8")
    with pytest.raises(ValueError, match="deck bare: got no title, minutes and slides"):
        slides.deck("bare")


def test_without_a_browser_there_is_no_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "browser", lambda: None)
    assert slides.printed("<p>") is None
    monkeypatch.setattr(slides, "browser", lambda: "/bin/false")
    assert slides.printed("<p>") is None


@pytest.mark.parametrize("pdf", [True, False])
def test_links_lead_to_the_deck_and_to_a_pdf_that_is_there(
    pdf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"slides/one-hour.html": "", **({"slides/one-hour.pdf": b""} if pdf else {})}
    monkeypatch.setattr(slides, "files", lambda: made)
    wanted = "See [slides](slides/one-hour.html)" + " ([PDF](slides/one-hour.pdf))" * pdf + "."
    assert slides.on_the_site("See [slides](slides/one-hour.md).") == wanted
