"""`register_router`: one's own router is known wherever a name is, and bad ones are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import moe
from moe.registry import method_rows
from moe.routers.topk import TopK


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    known = dict(moe.ROUTERS)
    yield
    moe.ROUTERS.clear()
    moe.ROUTERS.update(known)


def make(**words: Any) -> type[moe.Router]:
    """A router that differs from top-k in its words only."""
    given = {"name": "mine", "title": "Mine", "source": "this test"} | words
    return type("Mine", (TopK,), {n: value for n, value in given.items() if value is not None})


def test_it_is_known_everywhere_as_a_function_and_as_a_decorator() -> None:
    @moe.register_router
    @dataclass(frozen=True)
    class Mine(TopK):
        name, title, source = "mine", "My own gate", "this test"

    other = make(name="other")
    assert moe.register_router(other) is other
    assert moe.make_router("mine", k=3) == Mine(k=3)
    assert moe.MoELayer.init(4, 4, 8, router="other", k=3).router.options()["k"] == 3
    small = dict(router="mine", n_experts=8, d_model=8, d_expert=8, steps=2, batch=32)
    assert len(list(moe.train(moe.TrainSettings(**small)))) == 2  # type: ignore[arg-type]
    assert [row["name"] for row in method_rows(moe.ROUTERS)][-2:] == ["mine", "other"]
    report = moe.check_gate(gate, like="mine", n_experts=8)
    assert report.clean and "mine" in report.meant_to_be

    from typer.testing import CliRunner

    from moe.cli.main import command_line  # only now, so that a plain test run does not load typer

    rows = json.loads(CliRunner().invoke(command_line(), ["routers", "--json"]).stdout)
    assert [row["title"] for row in rows][-2:] == ["My own gate", "Mine"]


def gate(logits_NE: np.ndarray, bias_E: Any = 0.0, k: int = 2) -> Any:
    """Top-k of a softmax, renormalised; a bias selects and never weighs."""
    p_NE = np.exp(logits_NE - logits_NE.max(axis=1, keepdims=True))
    p_NE = p_NE / p_NE.sum(axis=1, keepdims=True)
    expert_NK = np.argsort(-(p_NE + bias_E), axis=1, kind="stable")[:, :k]
    weight_NK = np.take_along_axis(p_NE, expert_NK, axis=1)
    return expert_NK, weight_NK / weight_NK.sum(axis=1, keepdims=True)


def test_the_same_class_defined_again_takes_its_place() -> None:
    first, second = make(), make()
    moe.register_router(first)
    moe.register_router(second)
    assert moe.ROUTERS["mine"] is second


def without_default() -> type:
    @dataclass(frozen=True, kw_only=True)
    class Mine(TopK):
        name, title, source = "mine", "Mine", "this test"
        slope: float

    return Mine


def abstract() -> type:
    @dataclass(frozen=True)
    class Mine(moe.Router):
        name, title, source = "mine", "Mine", "this test"

    return Mine


REFUSED: dict[str, tuple[Any, str]] = {
    "an instance": (TopK(), "router: got TopK("),
    "no router": (int, "router: got <class 'int'>, allowed is a subclass of moe.Router"),
    "a name": ("topk", "router: got 'topk', allowed is a subclass of moe.Router"),
    "no methods": (abstract(), "router: got Mine without backward, choose, allowed is one with"),
    "no name of its own": (make(name=None), "name of router Mine: got None, allowed is a text of"),
    "no text": (make(name=3), "name of router Mine: got 3, allowed is a text of its own"),
    "no word": (make(name="my router"), "name of router Mine: got 'my router', allowed are lett"),
    "no title": (make(title=" "), "title of router Mine: got ' ', allowed is a text"),
    "no source": (make(source=()), "source of router Mine: got (), allowed is a text"),
    "a taken name": (
        make(name="topk"),
        "name of router Mine: got 'topk', which is moe.routers.topk.TopK; allowed is a name that",
    ),
    "no default": (without_default(), "option of router mine: got 'slope' without a default"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_router_is_refused_by_name(case: str) -> None:
    kind, message = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        moe.register_router(kind)
    assert "mine" not in moe.ROUTERS and moe.ROUTERS["topk"] is TopK


def test_a_router_whose_options_may_change_is_refused() -> None:
    class Loose(moe.Router):
        name, title, source = "loose", "Loose", "this test"
        choose = TopK.choose
        backward = TopK.backward

    Loose.__dataclass_params__ = type("P", (), {"frozen": False})  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="router: got Loose, allowed is a frozen dataclass"):
        moe.register_router(Loose)
