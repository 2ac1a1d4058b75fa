"""The static edition's recorded runs, colours and folder."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from moe.app.static import build
from moe.app.static import recorded as runs
from moe.app.static.build import theme
from moe.training import LiveRun


def test_recorded_runs_are_those_of_their_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "REPAIR_STEPS", 24)
    recorded = runs.recordings(steps=24)
    assert recorded["repairs"] == [0, 20]
    for at in recorded["repairs"]:
        plan = runs.repaired(at)
        records = recorded["runs"][plan.written()]["records"]
        assert records["from"] == at
        run = LiveRun(plan.recipe.settings, plan.changes)  # by another way, from the start
        for _ in range(at):
            run.step()
        vio = [run.step().max_vio for _ in range(24)]
        sent = np.frombuffer(b64decode(records["vio"]), "<f4")[:24]
        assert np.allclose(sent, vio, rtol=1e-6)


def test_both_themes_have_the_apps_colours() -> None:
    css = theme()
    light, dark = css.split("@media")
    assert "--st-primary-color: #0B5CAD;" in light and "--st-background-color: #FFFFFF;" in light
    assert "--st-primary-color: #7DBDF5;" in dark and "--st-background-color: #10161F;" in dark


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="folder: got"):
        next(build(tmp_path))
    assert (tmp_path / "letter.txt").read_text() == "dear"
