"""The gallery shows every picture of the site, and its commands draw them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from docs import figures
from docs.generator import __main__, gallery, site
from moe import TrainSettings
from moe.lessons import lessons, show

TEXT = (site.HERE / gallery.PAGE).read_text("utf-8")
COMMANDS = re.findall(r"^```\n(.+)\n```$", TEXT, re.M)
PICTURES = dict(site.figures())
LESSONS = {one.name: [part.name for part in one.of("figure")] for one in lessons()}


def test_every_picture_has_a_command_that_draws_it() -> None:
    wanted = [f"python -m docs.generator --only {name}" for name in PICTURES]
    wanted += [f"moe lesson {name} --figures ." for name, drawn in LESSONS.items() if drawn]
    assert sorted(COMMANDS) == sorted([*wanted, "python docs/figures.py"])
    shown = re.findall(r"^!\[.+\]\((.+)\)$|^```figure (.+)$", TEXT, re.M)
    assert len(shown) == len(COMMANDS)
    drawn = {*PICTURES, gallery.POSTER, *(name for names in LESSONS.values() for name in names)}
    assert {one or other for one, other in shown} == drawn


def test_a_lesson_s_figures_are_drawn_by_its_command(
    run_moe: Callable[..., Any], tmp_path: Path
) -> None:
    said = run_moe("lesson", "router", "--figures", str(tmp_path / "new"), code=0).stdout
    (drawn,) = (tmp_path / "new").iterdir()
    assert drawn.name == f"{LESSONS['router'][0]}.svg" and drawn.name in said.replace("\n", "")
    assert drawn.read_text("utf-8") == show(LESSONS["router"][0]).svg()


def test_a_folder_that_cannot_be_made_is_named(run_moe: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    said = run_moe("lesson", "router", "--figures", str(file), code=2)
    assert "figures: got" in said.stderr + said.stdout
    assert "with these options" in str(run_moe("lesson", "--figures", ".", code=2).stderr)


@pytest.mark.parametrize("name", ["methods/routers/hash.svg", "methods/capacity-score.svg"])
def test_one_picture_is_drawn_by_its_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = next(one for one in COMMANDS if one.endswith(name))
    monkeypatch.setattr(site, "HERE", tmp_path)
    monkeypatch.setattr(sys, "argv", shlex.split(command)[2:])
    __main__.main()
    assert site.described((tmp_path / name).read_text("utf-8")) == site.described(
        (Path(figures.__file__).parent / name).read_text("utf-8")
    )


def test_a_picture_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match=r"picture: got 'img/none.svg', allowed is one of"):
        site.draw("img/none.svg")


def test_the_poster_is_drawn_by_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "img").mkdir()
    monkeypatch.setattr(figures, "HERE", tmp_path)
    monkeypatch.setattr(figures, "TrainSettings", partial(TrainSettings, steps=20, batch=64))
    figures.main()
    assert (tmp_path / gallery.POSTER).read_bytes().startswith(b"\x89PNG")


def test_fences_become_pictures_on_the_site() -> None:
    name = LESSONS["router"][0]
    shown = gallery.on_the_site(f"A\n\n```figure {name}\n```\n\nB\n\n```\ncommand\n```\n")
    assert f"![{show(name).figure.alt}](lessons/{name}.svg)" in shown
    assert "```\ncommand\n```" in shown
