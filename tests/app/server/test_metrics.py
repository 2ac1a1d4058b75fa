"""How the server is, and who may know."""

from __future__ import annotations

import re

import pytest

import moe
from moe.app.server import limits, metrics
from moe.app.server.metrics import Guard, health, prometheus
from moe.app.server.warming import READY
from moe.app.shared.run_slots import run_slot
from moe.speed.turns import TURNS
from moe.training import TrainSettings
from tests.app.server.asgi import ask, hello


def values(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}


def test_health_says_the_version_and_what_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(READY, "kernels", False)
    monkeypatch.setattr(READY, "first_page", True)
    assert health() == {
        "status": "ok", "version": moe.__version__, "kernels": "compiling", "first_page": "ready",
    }  # fmt: skip
    monkeypatch.setattr(READY, "kernels", True)
    assert health()["kernels"] == "ready"


def test_figures_follow_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    before = values(prometheus(0))
    *_, last = run_slot(TrainSettings(steps=7, batch=32, d_model=8, seed=77)).progress()
    monkeypatch.setitem(limits.REFUSED, "memory", limits.REFUSED["memory"] + 2)
    with TURNS.measuring(), TURNS.turn():
        after = values(prometheus(5))
    grown = {name: after[name] - before[name] for name in after}
    assert last.run and after["moe_visitors"] == 5
    assert (grown["moe_steps_total"], grown["moe_runs_total"]) == (7, 1)
    assert (grown["moe_refused_total"], after["moe_queue_long"]) == (2, 1)
    assert grown["moe_turns_long_total"] == 1 and grown["moe_kept_bytes"] > 0
    assert after["moe_resident_bytes"] > 50e6


def test_the_text_is_prometheus_format() -> None:
    lines = prometheus(1).splitlines()
    assert len(lines) % 3 == 0
    for about, kind, value in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        name = value.split()[0]
        assert about.startswith(f"# HELP {name} ") and kind.startswith(f"# TYPE {name} ")
        assert name.endswith("_total") or kind.split()[-1] == "gauge" or "uptime" in name


@pytest.mark.parametrize("path", ["/metrics", "/_stcore/metrics", "/metrics/"])
def test_figures_are_for_this_machine_and_for_who_knows_the_word(path: str) -> None:
    for token in ("", "secret"):
        guard = Guard(hello, token)
        assert ask(guard, path, address="127.0.0.1").status == 200
        assert ask(guard, path, address="::1").status == 200
        assert ask(guard, path).status == 403
        assert ask(guard, path, address="127.0.0.1", x_forwarded_for="198.51.100.7").status == 403
        assert ask(guard, path, authorization="Bearer ").status == 403
        assert ask(guard, path, authorization="Bearer secrets").status == 403
    assert ask(guard, path, authorization="Bearer secret").status == 200
    assert ask(guard, "/healthz").status == 200
    assert set(metrics.GUARDED) == {"/metrics", "/_stcore/metrics"}
