"""A gate that follows a neighbour's rule is told apart from the right one, or is the same gate."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import moe
from moe.gates.bugs import GATE_BUGS, OwnGate
from moe.gates.convention import convention_of

PAGE = Path(__file__).parents[2] / "docs" / "check-gate.md"
GROUPS = {"n_group": 4, "topk_group": 2}


def known_rules() -> dict[str, moe.Router]:
    """Every router of the registry that can be a standard, and options that make others of it."""
    rules = {}
    for name in moe.ROUTERS:
        try:
            convention_of(moe.make_router(name), 16)
        except ValueError:
            continue
        rules[name] = moe.make_router(name)
    for name in ("deepseek_v2", "deepseek_v3", "deepseek_v4"):
        rules[f"{name} in groups"] = moe.make_router(name, k=4, **GROUPS)
    rules |= {
        "topk 4": moe.make_router("topk", k=4),
        "topk unnormalised": moe.make_router("topk", renormalize=False),
        "topk sigmoid": moe.make_router("topk", score="sigmoid"),
        "topk sigmoid 2.5": moe.make_router("topk", score="sigmoid", scale=2.5),
        "topk 1 sigmoid unnormalised": moe.make_router(
            "topk", k=1, score="sigmoid", renormalize=False
        ),
        "sinkhorn 1": moe.make_router("sinkhorn", k=1),
        "deepseek_v3 in groups, as V2 weighs": moe.make_router(
            "deepseek_v3", k=4, renormalize=False, scale=1.0, **GROUPS
        ),
    }
    return rules


RULES = known_rules()


def table_of(gate: moe.Router, logits_NE: np.ndarray, bias_E: np.ndarray | None) -> np.ndarray:
    """What a router of the library gives every expert, (N, E): its weight, or -1."""
    takes = bias_E is not None and "select_bias_E" in gate.buffers
    routing = gate.choose(logits_NE, **({"select_bias_E": bias_E} if takes else {}))
    table_NE = np.full(logits_NE.shape, -1.0)
    table_NE[routing.token_A, routing.expert_A] = routing.weight_A
    return table_NE


def are_the_same(right: moe.Router, gate: moe.Router) -> bool:
    """Whether two routers agree wherever the first one says what is right."""
    rng = np.random.default_rng(11)
    biased = "select_bias_E" in right.buffers
    biases = [rng.uniform(-0.2, 0.2, 16), np.linspace(-4, -3, 16)] if biased else []
    for bias_E in (None, *biases):
        logits_NE = rng.normal(0, 1.5, (300, 16)) + np.linspace(1, -1, 16)
        tables = [table_of(router, logits_NE, bias_E) for router in (right, gate)]
        if not np.allclose(*tables, atol=1e-6):
            return False
    return True


@pytest.mark.parametrize("right", RULES)
def test_every_other_rule_is_told_apart_or_is_the_same(right: str) -> None:
    for name, gate in RULES.items():
        own = OwnGate(gate)
        if convention_of(gate, 16).k != convention_of(RULES[right], 16).k:
            with pytest.raises(ValueError, match="experts per token, allowed is k = "):
                moe.check_gate(own, like=RULES[right])
            continue
        report = moe.check_gate(own, like=RULES[right])
        assert report.clean == are_the_same(RULES[right], gate), f"{name}: {report.words()}"


def test_the_page_lists_the_names_that_are_the_same_rule() -> None:
    names = [name for name in RULES if name in moe.ROUTERS]
    found = {
        frozenset(
            b for b in names
            if are_the_same(RULES[a], RULES[b]) and are_the_same(RULES[b], RULES[a])
        )
        for a in names
    }  # fmt: skip
    text = PAGE.read_text("utf-8").split("the same rule by several names:")[1].split(".")[0]
    told = {frozenset(re.findall(r"`(\w+)`", names)) for names in text.split(";")}
    assert {group for group in found if len(group) > 1} == told


def test_the_page_lists_every_bug_with_its_sources() -> None:
    text = PAGE.read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)$", text, re.MULTILINE))
    assert list(rows) == list(GATE_BUGS)
    count = ("Seven", "Eight", "Nine", "Ten")[len(rows) - 7]
    assert f"{count} bugs have shipped" in text
    for name, row in rows.items():
        links = re.findall(r"\((https://[^)]*)\)", row)
        assert links and set(links) <= set(GATE_BUGS[name].sources)


def scored_by(router: moe.Router, best_of: int) -> moe.Router:
    """The router with groups that score by the sum of so many of their best experts."""
    if "group_score_of" in router.options():
        return replace(router, group_score_of=best_of)
    kind = type(router)
    other = type(f"{kind.__name__}Other", (kind,), {"group_score_of": best_of})
    return other(**{field.name: getattr(router, field.name) for field in fields(router)})


@pytest.mark.parametrize(
    ("name", "wrong"), [("deepseek_v2", 2), ("deepseek_v3", 1), ("deepseek_v4", 1)]
)
def test_the_group_score_of_the_neighbour_is_named(tmp_path: Path, name: str, wrong: int) -> None:
    """V2 scores a group by its best expert; V3 and V4 by the sum of its two best."""
    router = moe.make_router(name, k=4, **GROUPS)
    gate = OwnGate(router, "group_score")
    neighbour = scored_by(router, wrong)
    assert are_the_same(scored_by(router, 3 - wrong), router)
    logits_NE = np.random.default_rng(3).normal(size=(999, 16))
    right_NK, wrong_NK = (r.choose(logits_NE).expert_A.reshape(999, 4) for r in (router, neighbour))
    expert_NK, weight_NK = gate(logits_NE)
    assert np.array_equal(expert_NK, wrong_NK)
    assert moe.check_gate(gate, like=router).bugs == ("group_score",)
    path = tmp_path / "routing.npz"
    np.savez(path, logits=logits_NE, experts=expert_NK, weights=weight_NK)
    report = moe.check_gate(path, like=router)
    assert report.bugs == ("group_score",) and not report.notes
    share = (np.sort(right_NK) != np.sort(wrong_NK)).any(axis=1).mean()
    assert report.finding("group_score").value == pytest.approx(share, abs=0.01)
