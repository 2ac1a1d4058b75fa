"""What the check of a gate compares with, asks and says, each piece held against plain loops."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe.gates import convention as gate_convention
from moe.gates import probe
from moe.gates import recording as gate_recording
from moe.gates.bugs import GATE_BUGS, OwnGate
from moe.gates.check import _Judge
from moe.gates.convention import (
    Convention,
    Form,
    choice_differs,
    choice_residuals,
    convention_of,
    distance,
    fit_convention,
    loss_residuals,
    score_table,
    weight_residuals,
    weights,
)
from moe.gates.recording import error_line, make_recording, read_recordings
from moe.gates.report import Finding, GateReport
from moe.gates.self_check import BugShown, demo_router

PLAIN = Convention("", 2, "softmax", True, 1.0)


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


def sigmoid(row: list[float]) -> list[float]:
    return [1 / (1 + math.exp(-x)) for x in row]


SCORES: dict[str, Callable[[list[float]], list[float]]] = {"softmax": softmax, "sigmoid": sigmoid}


# Forms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
def test_weights_of_every_set_of_bugs(
    score: str, renormalize: bool, with_bias: bool, rng: np.random.Generator
) -> None:
    logits_NE, scale = rng.normal(size=(9, 5)), 2.5
    bias_NE = rng.normal(size=(9, 5)) if with_bias else None
    expert_NK = np.argsort(rng.random((9, 5)), axis=1)[:, :3]
    convention = Convention("", 3, score, renormalize, scale)
    bugs = ["bias_in_weights", "double_softmax", *(["no_renormalize"] if renormalize else [])]
    want: dict[frozenset[str], np.ndarray] = {}
    for n in range(len(bugs) + 1):
        for on in itertools.combinations(bugs, n):
            rows = []
            for t in range(9):
                table = SCORES[score](logits_NE[t].tolist())
                if "double_softmax" in on:
                    table = SCORES[score](table)
                if "bias_in_weights" in on and with_bias:
                    table = [x + b for x, b in zip(table, bias_NE[t])]
                row = [table[e] for e in expert_NK[t]]
                divided = renormalize and "no_renormalize" not in on
                rows.append([scale * x / (sum(row) if divided else 1) for x in row])
            want[frozenset(on)] = np.array(rows)
    for on, weight_NK in want.items():
        assert weights(convention, logits_NE, expert_NK, bias_NE, on) == pytest.approx(weight_NK)
        found = weight_residuals(convention, logits_NE, expert_NK, weight_NK, bias_NE)
        assert set(found) == {Form(form) for form in want}
        for form, other_NK in want.items():
            far = abs(weight_NK - other_NK).max() / abs(other_NK).max()
            assert found[Form(form)] == pytest.approx(far, abs=1e-9)
    assert (score_table(logits_NE, score, (), bias_NE) == score_table(logits_NE, score, ())).all()


def test_a_distance_is_relative_to_what_is_expected() -> None:
    assert distance(np.array([3.0, 1.0]), np.array([1.0, -4.0])) == pytest.approx(5 / 4)
    assert distance(np.zeros(0), np.zeros(0)) == 0
    assert distance(np.array([1.0]), np.array([0.0])) == pytest.approx(1e30)
    for odd in (np.inf, np.nan):
        assert distance(np.array([odd]), np.array([1.0])) == sys.float_info.max


def test_a_convention_in_words() -> None:
    assert PLAIN.words() == "k = 2, softmax scores, renormalised, scale 1"
    other = Convention("x", 8, "sigmoid", False, 2.82749, 8, 4)
    assert other.words() == "k = 8, sigmoid scores, not renormalised, scale 2.827, 4 of 8 groups"
    assert other.masks and not replace(other, topk_group=8).masks and not PLAIN.masks
    assert PLAIN.best_of == (1, 2) and PLAIN.takes_bias and PLAIN.states_renormalize


@pytest.mark.parametrize("best_of", [1, 2])
@pytest.mark.parametrize("known", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize("masked", [-np.inf, 0.0])
def test_choices_in_groups_in_plain_loops(
    best_of: int, known: tuple[int, ...], masked: float, rng: np.random.Generator
) -> None:
    """Experts of every rule are off from each form by the tokens of which they differ."""
    logits_NE, bias_E = rng.normal(size=(200, 12)), rng.normal(-0.7, 0.5, 12)
    convention = Convention("", 3, "sigmoid", True, 1.0, 4, 2, known)

    def values(row: np.ndarray, best: int, mask: float, twice: bool) -> np.ndarray:
        table = sigmoid(row.tolist())
        select = np.array(sigmoid(table) if twice else table) + bias_E
        groups = [sorted(select[3 * g : 3 * g + 3])[-best:] for g in range(4)]
        in_reach = sorted(range(4), key=lambda g: -sum(groups[g]))[:2]
        return np.array([select[e] if e // 3 in in_reach else mask for e in range(12)])

    def chosen(*given: Any) -> list[int]:
        return np.argsort(-values(*given), kind="stable")[:3].tolist()

    expert_NK = np.array([chosen(row, best_of, masked, False) for row in logits_NE])
    bias_NE = np.tile(bias_E, (200, 1))
    found = choice_residuals(convention, logits_NE, expert_NK, bias_NE, 1e-12)
    assert len(found) == 8
    for best, mask, twice in itertools.product((1, 2), (-np.inf, 0.0), (False, True)):
        bugs = {"mask_zero"} if mask == 0 else set()
        bugs |= set() if best in known else {"group_score"}
        variant = {f"best of {best}"} | ({"double_softmax"} if twice else set())
        off = []
        for row, experts in zip(logits_NE, expert_NK.tolist()):
            value_E = values(row, best, mask, twice)  # experts of equal value are as good
            off.append(sorted(value_E[experts]) != sorted(value_E)[-3:])
        form = Form(frozenset(bugs), frozenset(variant))
        assert found[form] == pytest.approx(np.mean(off))


def test_choices_without_groups(rng: np.random.Generator) -> None:
    logits_NE = rng.normal(size=(50, 6))
    order_NK = np.argsort(-logits_NE, axis=1)
    expert_NK = order_NK[:, :2].copy()
    expert_NK[:10, 1] = order_NK[:10, 2]
    found = choice_residuals(PLAIN, logits_NE, expert_NK, None, 1e-9)
    assert set(found.values()) == {0.2} and len(found) == 2
    # A score that is lower by less than the tolerance is as good.
    tied = np.zeros((4, 6)) + np.array([2, 1, 1, 0, 0, 0])
    assert max(choice_residuals(PLAIN, tied, np.array([[0, 2]] * 4), None, 1e-9).values()) == 0
    table = score_table(logits_NE, "softmax", ())
    gap_N = np.sort(table, axis=1)[:, -2] - np.sort(table, axis=1)[:, -3]
    for tolerance in (0.05, 0.2, 0.8):
        found = choice_residuals(PLAIN, logits_NE, order_NK[:, [0, 2]], None, tolerance)
        wrong = (gap_N > tolerance * table.std()).mean()
        assert found[Form(frozenset(), frozenset({"best of 1"}))] == pytest.approx(wrong)


def test_tokens_whose_groups_are_a_near_tie_are_left_out(rng: np.random.Generator) -> None:
    convention = Convention("", 2, "sigmoid", True, 1.0, 4, 2, (1,))
    logits_NE = rng.normal(size=(300, 8))
    table = score_table(logits_NE, "sigmoid", ())
    best_NG = np.sort(table.reshape(300, 4, 2).max(axis=2), axis=1)[:, ::-1]
    near = 0.3 * table.std()
    clear_N = best_NG[:, 1] - best_NG[:, 2] > near
    worst_NK = np.argsort(table, axis=1)[:, :2]
    found = choice_residuals(convention, logits_NE, worst_NK, None, 0.3)
    assert 0 < clear_N.sum() < 300
    assert found[Form(frozenset(), frozenset({"best of 1"}))] == 1
    right_NK = np.argsort(-table, axis=1)[:, :2]
    right_NK[clear_N] = worst_NK[clear_N]
    found = choice_residuals(convention, logits_NE, right_NK, None, 0.3)
    assert found[Form(frozenset(), frozenset({"best of 1"}))] == 1  # of those that are clear
    never = choice_residuals(convention, np.zeros((5, 8)), np.array([[0, 1]] * 5), None, 0.3)
    assert set(never.values()) == {0.0}


@pytest.mark.parametrize("score", SCORES)
def test_losses_of_every_form_in_plain_loops(score: str, rng: np.random.Generator) -> None:
    n_layers, n, n_experts, k = 3, 11, 5, 2
    logits = rng.normal(size=(n_layers, n, n_experts))
    experts = np.argsort(-logits, axis=2)[:, :, :k]
    want: dict[tuple, float] = {}
    for twice, p_form, f_form in itertools.product(
        (False, True), ("full", "kept", "shared"), ("all", "first")
    ):
        f, p = np.zeros((n_layers, n_experts)), np.zeros((n_layers, n_experts))
        for layer, t in itertools.product(range(n_layers), range(n)):
            row = SCORES[score](logits[layer, t].tolist())
            row = SCORES[score](row) if twice else row
            row = [x / sum(row) for x in row]
            own = experts[layer, t].tolist()
            for e in own if f_form == "all" else own[:1]:
                f[layer, e] += 1 / n / (k if f_form == "all" else 1)
            kept = sum(row[e] for e in own)
            for e in range(n_experts):
                if p_form == "full" or e in own:
                    p[layer, e] += row[e] / n / (kept if p_form == "shared" else 1)
        losses = [n_experts * sum(a * b for a, b in zip(f[i], p[i])) for i in range(n_layers)]
        whole = n_experts * sum(a * b for a, b in zip(f.mean(axis=0), p.mean(axis=0)))
        totals = {"mean": np.mean(losses), "sum": np.sum(losses), "joined": whole}
        for (l_form, value), times_k in itertools.product(totals.items(), (False, True)):
            bugs = {"double_softmax"} if twice else set()
            bugs |= set() if p_form == "full" else {"p_over_topk"}
            bugs |= {"concatenated_layers"} if l_form == "joined" else set()
            bugs |= {"f_sums_to_k"} if times_k else set()
            form = Form(frozenset(bugs), frozenset({p_form, f_form, l_form}))
            want[form] = float(value) * (k if times_k else 1)
    convention = Convention("", k, score, True, 1.0)
    found = loss_residuals(convention, logits, experts, 1.7)
    assert set(found) == set(want) and len(want) == 72
    for form, value in want.items():
        assert found[form] == pytest.approx(abs(1.7 - value) / value)
    assert set(loss_residuals(convention, logits, experts, math.nan).values()) == {
        sys.float_info.max
    }


@pytest.mark.parametrize("score", gate_convention.GUESSED_SCORES)
@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("bug", ["", "double_softmax", "bias_in_weights"])
def test_a_convention_is_read_off_the_weights_even_with_a_bug(
    score: str, renormalize: bool, bug: str, rng: np.random.Generator
) -> None:
    logits_NE, bias_NE = rng.normal(size=(40, 6)), rng.uniform(0.1, 0.3, (40, 6))
    expert_NK = np.argsort(-logits_NE, axis=1)[:, :2]
    right = Convention("", 2, score, renormalize, 1.6, states_renormalize=False)
    weight_NK = weights(right, logits_NE, expert_NK, bias_NE, [bug])
    found = fit_convention(logits_NE, expert_NK, weight_NK, bias_NE, 1e-6)
    assert replace(found, scale=1.6) == right and found.scale == pytest.approx(1.6)
    asked = fit_convention(
        logits_NE, expert_NK, weight_NK, bias_NE, 1e-6, (score,), {"renormalize": 0, "scale": 3.0}
    )
    assert (asked.renormalize, asked.scale, asked.states_renormalize) == (False, 3.0, True)
    for wrong in (-weight_NK, 0 * weight_NK, weight_NK + logits_NE[:, :2] ** 2):
        assert fit_convention(logits_NE, expert_NK, wrong, bias_NE, 1e-6) is None
    slightly = weight_NK * (1 + 1e-4 * rng.choice([-1, 1], weight_NK.shape))
    assert fit_convention(logits_NE, expert_NK, slightly, bias_NE, 1e-6) is None
    close = fit_convention(logits_NE, expert_NK, slightly, bias_NE, 1e-3, (score,))
    assert close.scale == pytest.approx(1.6, rel=1e-3)


def test_of_several_conventions_the_one_with_fewer_bugs_is_taken(rng: np.random.Generator) -> None:
    """A single expert's renormalised weight is the scale, whatever the scores."""
    logits_NE = rng.normal(size=(20, 4))
    found = fit_convention(
        logits_NE, logits_NE.argmax(axis=1)[:, None], np.full((20, 1), 2.0), None, 1e-6
    )
    assert (found.score, found.renormalize, found.scale) == ("softmax", True, pytest.approx(2))
    # Equal logits leave everything open: the commonest convention is taken.
    alike = fit_convention(np.zeros((8, 4)), np.zeros((8, 1), int), np.full((8, 1), 0.5), None, 0.1)
    assert (alike.score, alike.renormalize, alike.scale) == ("softmax", True, 0.5)


CONVENTIONS = {
    "topk": (2, "softmax", True, 1.0, 1, 1, (1, 2), True),
    "switch": (1, "softmax", False, 1.0, 1, 1, (1, 2), True),
    "noisy_topk": (2, "softmax", True, 1.0, 1, 1, (1, 2), False),
    "deepseek_v2": (None, "softmax", None, None, None, None, (1,), True),
    "deepseek_v3": (None, "sigmoid", True, None, None, None, (2,), True),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_what_routers_do_is_measured(name: str) -> None:
    router = moe.make_router(name)
    found = convention_of(router, 16)
    k, score, renormalize, scale, n_group, topk_group, best_of, takes_bias = CONVENTIONS[name]
    assert found.name == name and found.score == score and found.chooser is None
    assert found.k == (k or router.k) and found.best_of == best_of
    assert found.renormalize == (router.renormalize if renormalize is None else renormalize)
    assert found.scale == pytest.approx(router.scale if scale is None else scale)
    assert found.n_group == (n_group or router.n_group)
    assert found.topk_group == (topk_group or router.topk_group)
    assert found.takes_bias == takes_bias and found.states_renormalize
    grouped = moe.make_router("deepseek_v3", k=4, n_group=8, topk_group=3, scale=1.5)
    own = convention_of(grouped, 16)
    assert (own.n_group, own.topk_group, own.k) == (8, 3, 4)
    assert own.scale == pytest.approx(1.5)
    assert convention_of(moe.make_router("sinkhorn"), 16).chooser == moe.make_router("sinkhorn")
    with pytest.raises(ValueError, match="like: got 'topk', allowed is a router that gives"):
        convention_of(moe.make_router("topk", k=4), 4)  # all of them
    assert convention_of(moe.make_router("topk", k=3), 4).k == 3


def test_other_choices_of_a_whole_batch_are_counted(rng: np.random.Generator) -> None:
    logits = rng.normal(size=(2, 10, 5))
    experts = np.argsort(-logits, axis=2)[:, :, :2]
    router = moe.make_router("topk")
    assert choice_differs(router, logits, experts[:, :, ::-1]) == 0  # in any order
    experts[1, :3, 1] = np.argsort(-logits, axis=2)[1, :3, 2]
    assert choice_differs(router, logits, experts) == pytest.approx(3 / 20)


# Recordings -------------------------------------------------------------------------------------


def test_layers_of_a_recording_follow_one_another(rng: np.random.Generator) -> None:
    logits, bias = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4))
    experts = np.argsort(-logits, axis=2)[:, :, :2]
    found = make_recording(logits, experts, logits[:, :, :2], bias, 0.5, (4, 2))
    assert found.aux_loss == 0.5 and found.groups == (4, 2) and found.whole_batch
    for row, (layer, t) in enumerate(itertools.product(range(2), range(3))):
        assert found.logits_NE[row].tolist() == logits[layer, t].tolist()
        assert found.expert_NK[row].tolist() == experts[layer, t].tolist()
        assert found.weight_NK[row].tolist() == logits[layer, t, :2].tolist()
        assert found.bias_NE[row].tolist() == bias[layer].tolist()
    for place in range(2):
        one = found.layer(place, 0.25)
        assert one.logits_LNE.tolist() == logits[place : place + 1].tolist()
        assert one.expert_LNK.tolist() == experts[place : place + 1].tolist()
        assert one.weight_LNK.tolist() == logits[place : place + 1, :, :2].tolist()
        assert one.bias_LE.tolist() == bias[place : place + 1].tolist() and one.aux_loss == 0.25
    bare = make_recording(logits[0], experts[0], logits[0, :, :2])
    assert bare.logits_LNE.shape == (1, 3, 4) and bare.bias_NE is None
    assert bare.aux_loss is bare.groups is bare.layer(0, 1.0).bias_LE is None


def test_what_a_recording_may_hold_at_its_edges() -> None:
    logits, pair = np.zeros((3, 2)), np.array([[0, 1], [1, 0], [0, 1]])
    for experts in (pair, pair.astype(np.uint8), pair[:, :1]):  # all experts, or one, are allowed
        found = make_recording(logits, experts, np.ones(experts.shape, np.float16))
        assert found.expert_NK.tolist() == experts.tolist()
        assert found.expert_LNK.dtype == np.int64 and found.weight_LNK.dtype == np.float64
    for bias in (np.array([1.0, 2.0]), np.array([[1.0, 2.0]])):
        both = make_recording(np.stack([logits] * 2), [pair] * 2, np.ones((2, 3, 2)), bias)
        assert both.bias_LE.tolist() == [[1, 2], [1, 2]]
    ones = np.ones((3, 2))
    wrong = {
        "logits: got shape (1, 3, 1), allowed is some tokens, 2 experts": (
            np.zeros((3, 1)), np.zeros((3, 1), int), np.ones((3, 1))),
        "logits: got shape (0, 3, 2)": (np.zeros((0, 3, 2)), pair, ones),
        "logits: got shape (3,)": (np.zeros(3), pair, ones),
        "logits: got shape (1, 1, 3, 2)": (logits[None, None], pair, ones),
        "experts: got shape (1, 3, 0)": (logits, pair[:, :0], ones[:, :0]),
        "experts: got shape (1, 3, 3)": (logits, np.zeros((3, 3), int), np.ones((3, 3))),
        "experts: got shape (1, 2, 2)": (logits, pair[:2], ones[:2]),
        "experts: got shape (2, 3, 2)": (logits, np.stack([pair] * 2), np.stack([ones] * 2)),
        "experts: got dtype bool": (logits, pair > 0, ones),
        "experts: got numbers outside 0..1, allowed are those": (logits, pair + 1, ones),
        "experts: got numbers outside 0..1": (logits, pair - 1, ones),
        "weights: got shape (1, 3, 1), allowed is (1, 3, 2)": (logits, pair, ones[:, :1]),
        "weights: got dtype int64": (logits, pair, pair),
        "weights: got NaN or infinity": (logits, pair, ones * np.inf),
        "bias: got shape (3, 2), allowed is (2,) or (1, 2)": (logits, pair, ones, np.zeros((3, 2))),
    }  # fmt: skip
    for words, arrays in wrong.items():
        with pytest.raises(ValueError) as told:
            make_recording(*arrays)
        assert str(told.value).startswith(words)


def test_an_error_is_said_in_one_line_of_at_most_so_many_characters() -> None:
    begin = len("ValueError: ")
    for n, cut in ((300 - begin, False), (301 - begin, True)):
        said = error_line(ValueError("x" * n))
        assert said == f"ValueError: {'x' * (300 - begin)}" + ("..." if cut else "")
    assert error_line(KeyError("a\n\x1b b")) == "KeyError: 'a\\n\\x1b b'"
    assert error_line(ValueError("a \n\n b\x1b")) == "ValueError: a b"
    assert error_line(OSError()) == "OSError"


def test_what_a_file_says_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(2, 4, 6))
    arrays: dict[str, Any] = {
        "logits": logits, "experts": np.argsort(-logits, axis=2)[:, :, :2],
        "weights": rng.random((2, 4, 2)), "bias": rng.normal(size=(2, 6)),
    }  # fmt: skip
    says: dict[str, Any] = {
        "n_group": 3, "topk_group": 2, "scale": 2.5, "coefficient": 0.01, "renormalize": True,
        "score": "sigmoid",
    }  # fmt: skip

    def read(**more: Any) -> Any:
        np.savez(tmp_path / "a.npz", **arrays | more)
        return read_recordings(tmp_path / "a.npz")

    (whole,), said = read(**says)
    assert said == says and said["renormalize"] is True and isinstance(said["n_group"], int)
    assert whole.logits_LNE.tolist() == logits.tolist() and not whole.whole_batch
    assert whole.bias_LE.tolist() == arrays["bias"].tolist() and whole.aux_loss is None
    assert read()[1] == {} and read(renormalize=0)[1] == {"renormalize": False}
    assert read(renormalize=1.0)[1]["renormalize"] is True
    assert [r.aux_loss for r in read(aux_loss=0.5)[0]] == [0.5]
    parts, _ = read(aux_loss=np.array([0.5, 0.75]))
    assert [part.aux_loss for part in parts] == [0.5, 0.75]
    for place, part in enumerate(parts):
        assert part.logits_LNE.tolist() == logits[place : place + 1].tolist()
        assert not part.whole_batch
    for wrong in (3, np.zeros(0)):
        with pytest.raises(ValueError, match=f"aux_loss: got|aux_loss: got {np.size(wrong)}"):
            read(aux_loss=wrong)
    for name in ("n_group", "topk_group", "scale", "coefficient"):
        for value in (np.nan, "x", np.zeros(0)):
            with pytest.raises(ValueError, match=f"^{name}: got .*, allowed is one number"):
                read(**{name: value})
    for value in (2, -1):
        with pytest.raises(ValueError, match=f"renormalize: got {value}, allowed is a truth"):
            read(renormalize=value)
    for limit, opens in ((48, True), (47, False)):
        monkeypatch.setattr(gate_recording, "MAX_NUMBERS", limit)
        if opens:
            assert read()[0]
        else:
            with pytest.raises(ValueError, match="logits: got 48 numbers, allowed are 47"):
                read()


# Asking -----------------------------------------------------------------------------------------


def test_gates_and_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])
    (tmp_path / "gate_of_mine.py").write_text("def gate(x):\n    return x\nnumber = 3\n")
    (tmp_path / "recorded").write_text("")
    assert probe.named_gate("recorded") == Path("recorded")
    assert probe.named_gate("none.npz") == Path("none.npz")
    assert probe.named_gate("gate_of_mine:gate")(7) == 7
    assert sys.path.count(str(tmp_path)) == 1 and sys.path[0] == str(tmp_path)
    probe.named_gate("gate_of_mine:gate")
    assert sys.path.count(str(tmp_path)) == 1
    for name, words in (
        ("gate_of_mine:number", "gate: got 'gate_of_mine:number', a int, allowed is a function"),
        ("gate_of_mine:none", "gate: got 'gate_of_mine:none' (AttributeError: "),
        ("gate_of_mine", "gate: got 'gate_of_mine' (AttributeError: "),
        ("none_such:gate", "gate: got 'none_such:gate' (ModuleNotFoundError: "),
    ):
        with pytest.raises(ValueError) as told:
            probe.named_gate(name)
        assert str(told.value).startswith(words)
    with pytest.raises(ValueError, match=r"^aux_loss: got"):
        probe.named_callable("aux_loss", "none_such:loss")
    (tmp_path / "stopped.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        probe.named_gate("stopped:gate")


@pytest.mark.parametrize("name", probe.TAKES)
def test_a_gate_gets_what_it_takes_and_no_more(name: str) -> None:
    got: list[dict] = []

    def asked(**given: Any) -> tuple[np.ndarray, np.ndarray]:
        got.append(given)
        return np.array([[1]]), np.array([[0.5]])

    source = f"def gate(logits_NE, {name}='default', other=1):\n    return asked({name}={name})\n"
    space: dict[str, Any] = {"asked": asked}
    exec(source, space)
    gate = space["gate"]
    assert probe.taken_by(gate) == {name}
    wanted = {other: f"for {other}" for other in probe.TAKES}
    experts, weight = probe.ask(gate, np.zeros((1, 2)), **wanted)
    assert got == [{name: f"for {name}"}] and (experts.item(), weight.item()) == (1, 0.5)
    probe.ask(gate, np.zeros((1, 2)), **wanted | {name: None})
    assert got[1] == {name: "default"}  # None stands for the gate's own

    class Module:
        def __call__(self, *args: Any, **kwargs: Any) -> None: ...

        forward = staticmethod(gate)

    assert probe.taken_by(Module()) == {name}
    Module.forward = None
    assert probe.taken_by(Module()) == set(probe.TAKES)
    assert probe.taken_by(type) == frozenset()  # which does not say


def test_inputs_of_a_probe_are_ones_own_each_time() -> None:
    one, again = probe.probe_logits(8), probe.probe_logits(8)
    assert one.dtype == np.float32 and one.shape == (1, 256, 8) and (one == again).all()
    assert one.std() == pytest.approx(math.hypot(1.5, np.linspace(1.5, -1.5, 8).std()), rel=0.05)
    many = probe.probe_logits(9, 3).astype(float)
    mean_LE = many.mean(axis=1)
    for layer in range(3):  # each layer is fond of other experts
        fond = [1.5 - 3 * ((e - layer * 3) % 9) / 8 for e in range(9)]
        assert mean_LE[layer] == pytest.approx(fond, abs=0.4)
    settings = probe.settings_of(Convention("", 4, "sigmoid", True, 2.5, 8, 3))
    assert settings == {"k": 4, "scale": 2.5, "n_group": 8, "topk_group": 3}


@pytest.mark.parametrize(
    ("names", "groups", "n_experts", "k", "takes_bias", "asked"),
    [
        (("bias_E",), (1, 1), 16, 2, True, [None]),
        (("k",), (1, 1), 16, 2, True, []),
        (("bias_E",), (1, 1), 16, 2, False, []),
        (("bias_E",), (4, 2), 16, 2, True, [None, "low"]),
        (("bias_E", "n_group", "topk_group"), (1, 1), 16, 2, True, [None, (4, 2)]),
        (("bias_E", "n_group", "topk_group"), (1, 1), 16, 8, True, [None, (4, 2)]),
        (("bias_E", "n_group", "topk_group"), (1, 1), 16, 9, True, [None]),
        (("bias_E", "n_group", "topk_group"), (1, 1), 18, 2, True, [None]),
        (("bias_E", "n_group"), (1, 1), 16, 2, True, [None]),
        (("bias_E", "topk_group"), (1, 1), 16, 2, True, [None]),
        (("bias_E", "n_group", "topk_group"), (8, 2), 16, 2, True, [None, "low"]),
    ],
)
def test_a_bias_is_tried_mildly_and_where_groups_can_be_masked_below_all_scores(
    names: tuple[str, ...], groups: tuple[int, int], n_experts: int, k: int, takes_bias: bool,
    asked: list,
) -> None:  # fmt: skip
    got: list[dict] = []

    def answer(logits_NE: np.ndarray, given: dict) -> tuple[np.ndarray, np.ndarray]:
        got.append(given)
        assert (logits_NE == probe.probe_logits(n_experts)[0]).all()
        experts = np.argsort(-logits_NE, axis=1)[:, :k]
        return experts, np.ones(experts.shape)

    space: dict[str, Any] = {"answer": answer}
    arguments = ", ".join(f"{name}=None" for name in names)
    given = ", ".join(f"{name}={name}" for name in names)
    exec(f"def gate(x, {arguments}):\n    return answer(x, dict({given}))", space)
    convention = Convention("", k, "sigmoid", True, 1.0, *groups, takes_bias=takes_bias)
    settings = probe.settings_of(convention) | {"n_experts": n_experts}
    found = probe.bias_recordings(space["gate"], convention, settings)
    assert [recording.groups for recording in found] == [g if g != "low" else None for g in asked]
    for given, recording, kind in zip(got, found, asked, strict=True):
        bias_E = given["bias_E"]
        assert (recording.bias_LE[0] == bias_E).all() and bias_E.dtype == np.float32
        if kind is None:
            assert 0.05 <= bias_E.min() < 0.1 and 0.15 < bias_E.max() <= 0.2
        else:
            assert bias_E.min() >= -9.95 and bias_E.max() <= -9.8
            own = groups if kind == "low" else kind
            for name, value in zip(("n_group", "topk_group"), own):
                assert given.get(name, value) == value
    whole = replace(convention, chooser=moe.make_router("base"))
    if asked == [None, (4, 2)]:
        assert len(probe.bias_recordings(space["gate"], whole, settings)) == 1


def test_losses_are_asked_of_one_layer_and_of_three() -> None:
    router = moe.make_router("topk", k=2)
    convention, seen = convention_of(router, 8), []

    def loss(layers: list, experts: list, k: int, n_experts: int) -> list[float]:
        seen.append((layers, experts, k, n_experts))
        return [len(layers) / 4]

    settings = probe.settings_of(convention) | {"n_experts": 8}
    found = probe.loss_recordings(OwnGate(router), loss, convention, settings)
    assert [r.aux_loss for r in found] == [0.25, 0.75]
    for recording, (layers, experts, k, n_experts) in zip(found, seen, strict=True):
        assert (k, n_experts) == (2, 8) and len(layers) == len(recording.logits_LNE)
        for i, logits_NE in enumerate(layers):
            want = OwnGate(router)(logits_NE)
            assert (recording.logits_LNE[i] == logits_NE).all()
            assert (experts[i] == want[0]).all() and (recording.expert_LNK[i] == want[0]).all()
            assert recording.weight_LNK[i] == pytest.approx(want[1])
    for value, words in (
        ([1.0, 2.0], r"float64 of shape \(2,\)"), (np.nan, "float64 of shape"), ("x", "<U1 of"),
        (True, "bool of shape"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"aux_loss: returned {words}"):
            probe.loss_recordings(OwnGate(router), lambda x, v=value: v, convention, settings)
    assert probe.loss_recordings(OwnGate(router), lambda x: 3, convention, settings)


def test_layers_with_another_number_of_choices_are_refused() -> None:
    calls: list[int] = []

    def gate(logits_NE: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        calls.append(1)
        k = 2 if len(calls) < 4 else 1
        experts = np.argsort(-logits_NE, axis=1)[:, :k]
        return experts, np.ones(experts.shape)

    convention = convention_of(moe.make_router("topk"), 8)
    with pytest.raises(ValueError, match=r"gate: returned shapes \[\(256, 2\), \(256, 2\), "):
        probe.loss_recordings(gate, lambda x: 1.0, convention, {"n_experts": 8})


# What is said -----------------------------------------------------------------------------------


def finding(bug: str, verdict: str, value: float | None = None) -> Finding:
    return Finding(bug, bug.title(), verdict, value, 0.001, f"Do {bug}.")


def test_a_report_in_words_and_rows() -> None:
    found = (
        finding("a", "clean", 0.00012345), finding("b", "has the bug", 0.25),
        finding("c", "cannot tell", 0.5), finding("d", "not applicable"),
        finding("e", "cannot tell"),
    )  # fmt: skip
    report = GateReport("mine", "topk: k = 2", False, found, ("Note.",), ("Unchecked.",))
    assert report.bugs == ("b",) and not report.clean and report.finding("c") is found[2]
    said = "Checked mine as topk: k = 2. It has 1 of 5 known bugs; 2 could not be told."
    assert report.summary() == said
    assert report.words().split("\n") == [
        said, "- A: clean (0.00012, allowed 0.001). Do a.",
        "- B: has the bug (0.25, allowed 0.001). Do b.",
        "- C: cannot tell (0.5, allowed 0.001). Do c.", "- D: not applicable. Do d.",
        "- E: cannot tell. Do e.", "Note.", "Unchecked.",
    ]  # fmt: skip
    assert [list(row.values()) for row in report.rows()][::3] == [
        ["A", "clean", "0.00012", "0.001", "Do a."], ["D", "not applicable", "", "0.001", "Do d."],
    ]  # fmt: skip
    assert list(report.rows()[0]) == ["bug", "verdict", "metric", "allowed", "what to do"]
    fine = GateReport("mine", "k = 2", True, found[:1], ())
    assert fine.clean and fine.summary() == (
        "Checked mine as k = 2 (guessed from its weights). None of 1 known bugs was found."
    )
    assert not replace(fine, notes=("x",)).clean
    assert report.as_json()["bugs"] == ["b"] and report.as_json()["findings"][1]["value"] == 0.25


def judge(**changed: Any) -> _Judge:
    """A judge of one plain recording that follows its convention."""
    logits_NE = probe.probe_logits(8)[0]
    router = moe.make_router("topk")
    recording = make_recording(logits_NE, *OwnGate(router)(logits_NE))
    given = {"tolerance": 1e-3, "coefficient": 1.0, "guessed": False, "known": set()} | changed
    return _Judge(convention_of(router, 8), [recording], **given)


def form(*bugs: str, variant: str = "") -> Form:
    return Form(frozenset(bugs), frozenset({variant} if variant else ()))


@pytest.mark.parametrize(
    ("part", "verdict", "value"),
    [
        ({form(): 0.0, form("x"): 0.5}, "clean", 0.0),
        ({form(): 0.5, form("x"): 0.0}, "has the bug", 0.5),
        ({form(): 0.0, form("x"): 0.0}, "cannot tell", 0.0),
        ({form(): 5e-7, form("x"): 0.0}, "cannot tell", 5e-7),  # float32 leaves as much
        ({form(): 2e-6, form("x"): 0.0}, "cannot tell", 2e-6),
        ({form(): 0.5, form("x"): 0.6}, "cannot tell", 0.5),
        ({form(): 0.9e-3, form("x"): 0.8e-3}, "cannot tell", 0.9e-3),
        ({form(): 0.5, form("x"): 0.001}, "has the bug", 0.5),  # as far as is allowed
        ({form("y"): 0.0, form("x", "y"): 0.5, form(): 0.7, form("x"): 0.8}, "clean", 0.0),
        ({form("y"): 0.4, form("x", "y"): 0.0, form(): 0.7, form("x"): 0.8}, "has the bug", 0.4),
        (
            {form("x", variant="a"): 0.0, form(variant="a"): 0.3, form(variant="b"): 0.6},
            "has the bug", 0.3,
        ),
        (
            {form("x", variant="b"): 0.0, form(variant="a"): 0.3, form(variant="b"): 0.6},
            "has the bug", 0.6,
        ),
    ],
)  # fmt: skip
def test_a_part_says_which_forms_fit(part: dict, verdict: str, value: float) -> None:
    assert judge()._verdict("x", part) == (verdict, value)


def test_what_a_bug_lacks_is_listed() -> None:
    one = judge()
    for bug, words in {
        "bias_in_weights": "a selection bias (bias_E) that is not zero and weights that the bias "
        "would change",
        "double_softmax": "weights or a loss that depend on the scores",
        "no_renormalize": "weights of two experts or more",
        "f_sums_to_k": "aux_loss and k of 2 or more",
        "group_score": "groups out of reach (n_group > topk_group), like= to say how a group "
        "should score and groups that the two rules rank differently",
    }.items():
        assert one._missing(GATE_BUGS[bug]) == words
    assert one.finding(GATE_BUGS["f_sums_to_k"]).advice == "It takes aux_loss and k of 2 or more."
    assert one.finding(GATE_BUGS["no_renormalize"]).advice == "Nothing to do."
    assert one.finding(GATE_BUGS["no_renormalize"]).verdict == "clean"
    assert one.notes() == [] and one.unchecked() == []


def test_found_anywhere_is_found_and_clean_anywhere_is_not_open() -> None:
    one, bug = judge(), GATE_BUGS["double_softmax"]
    clean = {form(): 0.0, form(bug.name): 0.5}
    buggy = {form(): 0.7, form(bug.name): 0.0}
    either = {form(): 0.0, form(bug.name): 0.0}
    neither = {form(): 0.4, form(bug.name): 0.3}
    for parts, verdict, value in (
        ((clean, buggy), "has the bug", 0.7), ((clean, either), "clean", 0.0),
        ((either, buggy), "has the bug", 0.7), ((either, either), "cannot tell", 0.0),
        ((neither, neither), "cannot tell", 0.4),
    ):  # fmt: skip
        for one.weights, one.loss in (parts, parts[::-1]):
            found = one.finding(bug)
            assert (found.verdict, found.value, found.threshold) == (verdict, value, 1e-3)
            advice = {"has the bug": bug.fix, "clean": "Nothing to do."}.get(
                verdict, "To tell, it takes weights or a loss that depend on the scores."
            )
            if neither in parts:
                advice = "No form explains these numbers, with the bug or without."
            assert found.advice == advice
    one.weights, one.loss = neither, either
    assert one.finding(bug).advice.startswith("To tell, it takes")


def test_a_coefficient_divides_the_loss_and_a_hint_names_it(tmp_path: Path) -> None:
    router = moe.make_router("topk")
    gate = OwnGate(router)

    def loss(layers: list, experts: list) -> float:
        return 0.02 * gate.aux_loss(layers, experts)

    assert moe.check_gate(gate, like=router, aux_loss=loss, coefficient=0.02).clean
    (note,) = moe.check_gate(gate, like=router, aux_loss=loss).notes
    assert note.startswith("The balance loss follows no known form; the nearest is off by ")
    assert note.endswith("%. If it has a coefficient, say coefficient.")
    (note,) = moe.check_gate(gate, like=router, aux_loss=loss, coefficient=9).notes
    assert note.endswith("%.")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 1}, "k: got 1"), ({"n_group": 0}, "n_group: got 0"), ({"n_group": 17}, "n_group"),
        ({"topk_group": 0}, "topk_group: got 0"), ({"scale": 0.0}, "scale: got 0.0"),
        ({"n_group": 2, "topk_group": 3}, "topk_group: got 3, allowed .*n_group is 2"),
        ({"n_experts": 3}, "n_experts: got 3"), ({"n_experts": 4097}, "n_experts: got 4097"),
        ({"tolerance": 0.51}, "tolerance: got 0.51"), ({"n_group": 5}, "n_group: got 5, .*divisor"),
    ],
)  # fmt: skip
def test_options_are_checked_on_both_sides(options: dict, words: str) -> None:
    gate = OwnGate(moe.make_router("topk"))
    with pytest.raises(ValueError, match=words):
        moe.check_gate(gate, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"k": 2}, {"n_group": 16, "topk_group": 16}, {"n_group": 1}, {"scale": 1.0},
        {"n_experts": 4}, {"tolerance": 0.5}, {"score": "softmax"}, {"renormalize": True},
    ],
)  # fmt: skip
def test_options_that_are_right_are_taken(options: dict) -> None:
    report = moe.check_gate(OwnGate(moe.make_router("topk")), **options)
    assert report.clean and report.guessed and report.gate == "OwnGate"
    assert report.meant_to_be == "k = 2, softmax scores, renormalised, scale 1"


def test_an_own_gate_with_an_unknown_bug_is_refused() -> None:
    with pytest.raises(ValueError, match="bug: got 'magic'"):
        OwnGate(moe.make_router("topk"), "magic")
    for bug in GATE_BUGS:
        grouped = bug in ("bias_in_weights", "no_renormalize", "mask_zero", "group_score")
        assert demo_router(bug).name == ("deepseek_v3" if grouped else "topk")
    row = BugShown("b", "Title", "metric", "topk", 1.23e-7, 0.456, 1e-3, True)
    assert list(row.row().values()) == ["Title", "topk", "metric", "1.2e-07", "0.46", "yes"]
    assert replace(row, detected=False).row()["found"] == "no"


@pytest.mark.parametrize(
    ("wrong_if", "among"),
    [("biased", ""), ("grouped", " in the 2 best of 4 groups"), ("plain", "")],
)
def test_wrong_experts_in_one_recording_are_enough(wrong_if: str, among: str) -> None:
    right = moe.make_router("deepseek_v3", k=4)
    grouped = moe.make_router("deepseek_v3", k=4, n_group=4, topk_group=2)

    def gate(
        logits_NE: np.ndarray, bias_E: Any = None, n_group: int = 1, topk_group: int = 1
    ) -> Any:
        kind = "plain" if bias_E is None else "grouped" if n_group == 4 else "biased"
        own = OwnGate(grouped if kind == "grouped" else right)
        experts, weight_NK = own(logits_NE, bias_E=bias_E)
        if kind == wrong_if:  # the worst instead of the best in every fourth token
            scores_NE = 1 / (1 + np.exp(-logits_NE.astype(float)))
            experts[::4] = np.argsort(scores_NE + (0 if bias_E is None else bias_E), axis=1)[
                ::4, :4
            ]
            chosen = np.take_along_axis(scores_NE, experts, axis=1)
            weight_NK = 2.5 * chosen / chosen.sum(axis=1, keepdims=True)
        return experts, weight_NK

    report = moe.check_gate(gate, like="deepseek_v3", k=4, scale=2.5)
    (note,) = report.notes
    hint = "" if among else " If the gate is limited to groups, say n_group and topk_group."
    share = float(note.split("For ")[1].split("%")[0])
    assert share == pytest.approx(25, abs=2)
    assert note == (
        f"For {share:.1f}% of tokens the experts are not the 4 with the best scores{among}.{hint}"
    )


@pytest.mark.parametrize(("off", "said"), [(0.05, False), (0.07, True)])
def test_a_choice_over_the_batch_may_differ_in_some_tokens(off: float, said: bool) -> None:
    """Two auctions with other steps are the same gate."""
    router = moe.make_router("base")

    def gate(logits_NE: np.ndarray) -> Any:
        experts, _ = OwnGate(router)(logits_NE)
        n = round(off * len(experts))
        experts[:n] = (experts[:n] + 1) % logits_NE.shape[1]
        chosen = np.take_along_axis(score_table(logits_NE, convention.score, ()), experts, axis=1)
        return experts, convention.scale * chosen

    convention = convention_of(router, 16)
    report = moe.check_gate(gate, like="base")
    assert (report.notes != ()) == said
    if said:
        assert report.notes == (
            f"For {round(256 * off) / 256:.1%} of tokens the experts are not those that base "
            "chooses for the same batch.",
        )


def test_weights_that_follow_no_form_say_how_far_off_they_are() -> None:
    router = moe.make_router("topk")

    def gate(logits_NE: np.ndarray) -> Any:
        experts, weight_NK = OwnGate(router)(logits_NE)
        return experts, 1.01 * weight_NK

    (note,) = moe.check_gate(gate, like="topk").notes
    assert note == (
        "The weights follow no known form of this convention; the nearest is off by 0.01. "
        "They look like k = 2, softmax scores, renormalised, scale 1.01."
    )
    assert moe.check_gate(gate, like="topk", tolerance=0.011).clean

    def softly(logits_NE: np.ndarray) -> Any:
        experts, weight_NK = OwnGate(moe.make_router("topk", score="sigmoid"))(logits_NE)
        return experts, weight_NK

    (note,) = moe.check_gate(softly, like="topk").notes
    assert note.endswith(" They look like k = 2, sigmoid scores, renormalised, scale 1.")
