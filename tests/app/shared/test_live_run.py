"""A run of a visitor's own begins once its kernels are compiled, by another process if need be."""

from __future__ import annotations

import pytest

from moe.app.shared import live_run


class Compiler:
    waited = 0

    def wait(self) -> None:
        Compiler.waited += 1


@pytest.mark.parametrize("first", [True, False])
def test_another_process_compiles_what_is_missing(monkeypatch: pytest.MonkeyPatch, first: bool):
    asked: list[bool] = []
    monkeypatch.setattr(Compiler, "waited", 0)
    monkeypatch.setattr(live_run, "first_run", lambda language: first)
    monkeypatch.setattr(
        live_run, "compile_elsewhere", lambda language: (asked.append(language), Compiler())[1]
    )
    assert list(live_run.compiled(lambda: iter([1, 2]))) == [1, 2]
    assert asked == [True] * first and Compiler.waited == int(first)


def test_a_run_begins_where_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch):
    def fail(language: bool) -> None:
        raise OSError("planted")

    monkeypatch.setattr(live_run, "first_run", lambda language: True)
    monkeypatch.setattr(live_run, "compile_elsewhere", fail)
    assert list(live_run.compiled(lambda: iter([1]))) == [1]
