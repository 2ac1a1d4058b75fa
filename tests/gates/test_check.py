"""Each known bug is found, and only it, in functions and in files; what is published passes."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import moe
from moe.gates.bugs import GATE_BUGS, OwnGate
from moe.gates.recording import MAX_BYTES, read_recordings
from moe.gates.self_check import demo_router, show_bugs

FIXED_K = (
    "topk", "noisy_topk", "switch", "gshard", "base", "sinkhorn", "deepseek_moe", "deepseek_v2",
    "deepseek_v3", "deepseek_v4", "moe_pp", "longcat",
)  # fmt: skip
V3 = {"k": 4, "n_group": 4, "topk_group": 2}


def verdicts(report: moe.GateReport) -> dict[str, str]:
    return {finding.bug: finding.verdict for finding in report.findings}


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def best(scores_NE: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-scores_NE, axis=1, kind="stable")[:, :k]


def at(table_NE: np.ndarray, expert_NK: np.ndarray) -> np.ndarray:
    return np.take_along_axis(table_NE, expert_NK, axis=1)


# Functions -------------------------------------------------------------------------------------


def test_every_bug_is_found_in_the_own_gate_and_no_other() -> None:
    shown = show_bugs()
    assert [bug.bug for bug in shown] == list(GATE_BUGS)
    for bug in shown:
        print(f"{bug.title:32s} {bug.router:12s} {bug.clean_value:.1e} -> {bug.buggy_value:.3f}")
        assert bug.detected
        assert bug.clean_value < 1e-5 < bug.threshold < bug.buggy_value


@pytest.mark.parametrize("n_experts, k", [(16, 2), (64, 8), (256, 8)])
def test_a_large_gate_is_judged_as_a_small_one(n_experts: int, k: int) -> None:
    router = moe.make_router("deepseek_v3", k=k, n_group=8, topk_group=4)
    for bug in ("", *GATE_BUGS):
        gate = OwnGate(router, bug)
        report = moe.check_gate(gate, like=router, aux_loss=gate.aux_loss, n_experts=n_experts)
        assert report.bugs == ((bug,) if bug else ()), report.words()
        assert not report.notes


@pytest.mark.parametrize("name", FIXED_K)
def test_clean_gate_passes(name: str) -> None:
    gate = OwnGate(moe.make_router(name))
    report = moe.check_gate(gate, like=name, aux_loss=gate.aux_loss)
    assert report.clean and not report.guessed, report.words()
    assert "clean" in verdicts(report).values()


def test_every_router_is_a_standard_or_is_refused_with_the_reason() -> None:
    for name in moe.ROUTERS:
        gate = OwnGate(moe.make_router(name))
        if name in FIXED_K:
            continue
        try:
            assert moe.check_gate(gate, like=name).clean
        except ValueError as error:
            assert "the same number of experts" in str(error)


@pytest.mark.parametrize("name", FIXED_K)
@pytest.mark.parametrize("bug", GATE_BUGS)
def test_a_bug_in_any_router_is_found_alone_or_does_not_show(name: str, bug: str) -> None:
    gate = OwnGate(moe.make_router(name), bug)
    report = moe.check_gate(gate, like=name, aux_loss=gate.aux_loss)
    assert report.bugs in ((bug,), ())
    if not report.bugs:  # the bug changes nothing in this gate, and the report doesn't deny it
        assert verdicts(report)[bug] in ("not applicable", "cannot tell")


def mixtral(logits_NE):
    expert_NK = best(logits_NE, 2)
    return expert_NK, softmax(at(logits_NE, expert_NK))


def olmoe(logits_NE, k):
    expert_NK = best(logits_NE, k)
    return expert_NK, at(softmax(logits_NE), expert_NK)


def switch(logits_NE):
    expert_NK = best(logits_NE, 1)
    return expert_NK, at(softmax(logits_NE), expert_NK)


def kimi(logits_NE, bias_E=0.0, k=8, scale=2.827):
    scores_NE = sigmoid(logits_NE)
    expert_NK = best(scores_NE + bias_E, k)
    weight_NK = at(scores_NE, expert_NK)
    return expert_NK, scale * weight_NK / weight_NK.sum(axis=1, keepdims=True)


def v3(logits_NE, *, bias_E=0.0, k=4, n_group=4, topk_group=2, scale=2.5, mask=-np.inf, leak=False):
    """DeepSeek-V3's gate, written here; `mask` and `leak` are the bugs that vLLM once had."""
    scores_NE = sigmoid(logits_NE)
    biased_NE = scores_NE + bias_E
    group_NGM = biased_NE.reshape(len(scores_NE), n_group, -1)
    in_reach_NG = np.zeros(group_NGM.shape[:2], bool)
    value_NG = np.sort(group_NGM, axis=2)[:, :, -2:].sum(axis=2)
    np.put_along_axis(in_reach_NG, best(value_NG, topk_group), True, axis=1)
    select_NE = np.where(in_reach_NG[:, :, None], group_NGM, mask).reshape(scores_NE.shape)
    expert_NK = best(select_NE, k)
    weight_NK = at(biased_NE if leak else scores_NE, expert_NK)
    return expert_NK, scale * weight_NK / weight_NK.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("gate", "like", "options"),
    [
        (mixtral, "topk", {}),
        (mixtral, "noisy_topk", {}),
        (mixtral, "topk", {"softmax_order": "after", "renormalize": False}),
        (olmoe, "topk", {"k": 8, "renormalize": False}),
        (olmoe, "deepseek_moe", {"k": 6}),
        (switch, "switch", {}),
        (kimi, "deepseek_v3", {"scale": 2.827}),
        (v3, "deepseek_v3", V3),
    ],
)
def test_published_gates_pass_under_their_own_name_and_without_one(gate, like, options) -> None:
    report = moe.check_gate(gate, like=like, **options)
    assert report.clean, report.words()
    known = {n: v for n, v in options.items() if n in ("n_group", "topk_group", "k")}
    guessed = moe.check_gate(gate, **known)
    assert guessed.clean and guessed.guessed, guessed.words()


def test_a_gate_with_two_bugs_has_both() -> None:
    """As vLLM's was before its pull requests 12002 and 13474."""

    def gate(logits_NE, bias_E=0.0):
        return v3(logits_NE, bias_E=bias_E, mask=0.0, leak=True)

    report = moe.check_gate(gate, like="deepseek_v3", **V3)
    assert report.bugs == ("bias_in_weights", "mask_zero") and not report.notes


def test_groups_are_tried_on_a_gate_that_takes_them() -> None:
    def gate(logits_NE, bias_E=0.0, k=2, n_group=1, topk_group=1):
        return v3(logits_NE, bias_E=bias_E, k=k, n_group=n_group, topk_group=topk_group, mask=0.0)

    assert moe.check_gate(gate, like="deepseek_v3").bugs == ("mask_zero",)
    assert moe.check_gate(gate).bugs == ("mask_zero",)


def transformers_loss(layers, k=2):
    """The form of load_balancing_loss_func: one batch of all layers, f sums to k."""
    share_NE = softmax(np.concatenate(layers))
    chosen_NKE = np.eye(share_NE.shape[1])[best(share_NE, k)]
    return (chosen_NKE.mean(axis=0) * share_NE.mean(axis=0)).sum() * share_NE.shape[1]


def test_the_loss_of_transformers_has_two_bugs_and_three_with_probabilities_for_logits() -> None:
    report = moe.check_gate(mixtral, like="topk", aux_loss=transformers_loss)
    assert report.bugs == ("f_sums_to_k", "concatenated_layers") and not report.notes

    def twice(layers):
        return transformers_loss([softmax(logits_NE) for logits_NE in layers])

    report = moe.check_gate(mixtral, like="topk", aux_loss=twice)
    assert report.bugs == ("double_softmax", "f_sums_to_k", "concatenated_layers")
    assert not report.notes


def per_layer(loss, total):
    def aux_loss(layers, experts):
        return total([loss(*layer) for layer in zip(layers, experts)])

    return aux_loss


def switch_loss(logits_NE, expert_NK, first_only=False):
    counted_NK = expert_NK[:, :1] if first_only else expert_NK
    f_E = np.bincount(counted_NK.ravel(), minlength=logits_NE.shape[1]) / counted_NK.size
    return logits_NE.shape[1] * f_E @ softmax(logits_NE).mean(axis=0)


@pytest.mark.parametrize("first_only", [False, True])
@pytest.mark.parametrize("total", [np.mean, np.sum])
def test_published_losses_pass(total, first_only: bool) -> None:
    def loss(logits_NE, expert_NK):
        return 0.01 * switch_loss(logits_NE, expert_NK, first_only)

    aux_loss = per_layer(loss, total)
    report = moe.check_gate(mixtral, like="topk", aux_loss=aux_loss, coefficient=0.01)
    assert report.clean and verdicts(report)["f_sums_to_k"] == "clean", report.words()


def test_a_coefficient_can_allow_for_f_that_sums_to_k() -> None:
    aux_loss = per_layer(lambda logits, experts: 2 * switch_loss(logits, experts), np.mean)
    assert moe.check_gate(mixtral, aux_loss=aux_loss).bugs == ("f_sums_to_k",)
    assert moe.check_gate(mixtral, aux_loss=aux_loss, coefficient=2).clean


def test_p_over_the_normalised_weights_of_the_chosen_is_found_too() -> None:
    """The form of MaxText's issue 1432."""

    def loss(logits_NE, expert_NK):
        p_NE = np.zeros(logits_NE.shape)
        np.put_along_axis(p_NE, expert_NK, softmax(at(logits_NE, expert_NK)), axis=1)
        f_E = np.bincount(expert_NK.ravel(), minlength=16) / expert_NK.size
        return 16 * f_E @ p_NE.mean(axis=0)

    report = moe.check_gate(mixtral, like="topk", aux_loss=per_layer(loss, np.mean))
    assert report.bugs == ("p_over_topk",)


def test_what_no_bug_explains_is_said_and_is_not_clean() -> None:
    def raw(logits_NE):  # sglang's pull request 35160
        expert_NK = best(logits_NE, 2)
        return expert_NK, at(logits_NE, expert_NK)

    def second_best(logits_NE):
        expert_NK = best(logits_NE, 3)[:, 1:]
        return expert_NK, softmax(at(logits_NE, expert_NK))

    report = moe.check_gate(raw, like="topk", renormalize=False)
    assert not report.clean and not report.bugs and "raw logits" in report.notes[0]
    report = moe.check_gate(mixtral, like="topk", renormalize=False)
    assert "look like k = 2, softmax scores, renormalised" in report.notes[0]
    report = moe.check_gate(second_best, like="topk")
    assert "100.0% of tokens the experts are not the 2 with the best" in report.notes[0]
    report = moe.check_gate(mixtral, aux_loss=lambda layers: 0.123)
    assert "balance loss follows no known form" in report.notes[0]
    assert verdicts(report)["f_sums_to_k"] == "cannot tell"


def test_without_a_name_a_missing_division_is_left_open_and_with_one_it_is_found() -> None:
    def gate(logits_NE, k=4):
        expert_NK = best(logits_NE, k)
        return expert_NK, at(sigmoid(logits_NE), expert_NK)

    assert verdicts(moe.check_gate(gate))["no_renormalize"] == "cannot tell"
    assert moe.check_gate(gate, renormalize=True).bugs == ("no_renormalize",)
    assert moe.check_gate(gate, like="deepseek_v3", k=4, scale=1.0).bugs == ("no_renormalize",)
    assert verdicts(moe.check_gate(gate, renormalize=False))["no_renormalize"] == "not applicable"


def test_a_bias_that_the_gate_does_not_take_is_not_applicable() -> None:
    said = verdicts(moe.check_gate(mixtral, like="topk"))
    assert said["bias_in_weights"] == said["mask_zero"] == said["f_sums_to_k"] == "not applicable"
    assert said["no_renormalize"] == said["double_softmax"] == "clean"


def test_report_as_words_and_as_data() -> None:
    report = moe.check_gate(
        OwnGate(demo_router("mask_zero"), "mask_zero"), like="deepseek_v3", **V3
    )
    text = report.words()
    assert "Checked OwnGate as deepseek_v3: k = 4, sigmoid scores, renormalised" in text
    assert f"1 of {len(GATE_BUGS)} known bugs" in text and "Fill masked groups with -inf." in text
    data = json.loads(json.dumps(report.as_json()))
    assert data["bugs"] == ["mask_zero"] and data["clean"] is False
    assert [f["bug"] for f in data["findings"]] == list(GATE_BUGS)


def test_every_bug_cites_what_it_was_found_in() -> None:
    for bug in GATE_BUGS.values():
        assert bug.wrong.endswith(".") and bug.fix.endswith(".") and bug.needs and bug.metric
        assert bug.sources and all(s.startswith("https://github.com/") for s in bug.sources)


def broken(logits_NE):
    raise RuntimeError("no")


def swapped(logits_NE):
    return mixtral(logits_NE)[::-1]


class Odd(tuple):
    def __len__(self) -> int:
        raise LookupError("none")


def exits(logits_NE):
    raise SystemExit(1)


def talks(logits_NE):
    raise RuntimeError("first line\n\x1b[31m second line" + "x" * 10_000)


class Speechless(Exception):
    def __str__(self) -> str:
        raise OSError


def speechless(logits_NE):
    raise Speechless


@pytest.mark.parametrize(
    ("gate", "options", "words"),
    [
        (broken, {}, "gate: failed (RuntimeError: no)"),
        (lambda logits_NE: 3, {}, "gate: returned a int, allowed is (experts, weights)"),
        (lambda logits_NE: (1, 2, 3), {}, "gate: returned a tuple of 3, allowed is (experts, "),
        (lambda logits_NE: Odd(), {}, "gate: cannot be checked (LookupError: none)"),
        (swapped, {}, "did you return (weights, experts)?"),
        (exits, {}, "gate: failed (SystemExit: 1) when called with logits"),
        (talks, {}, "gate: failed (RuntimeError: first line [31m second linexxx"),
        (speechless, {}, "gate: failed (Speechless) when called with logits"),
        (lambda logits_NE: (Tensor([[1, 2]], breaks=True), 1), {}, "experts: got a Tensor that"),
        (lambda logits_NE: ([[1], [1, 2]], 1.0), {}, "experts: got a list that numpy cannot"),
        (lambda logits_NE: (np.zeros((256, 2)), np.ones((256, 2))), {}, "experts: got dtype"),
        (lambda logits_NE: (np.zeros((256, 2), int), np.ones((256, 2))), {}, "one expert twice"),
        (lambda logits_NE: (np.zeros((9, 1), int), np.ones((9, 1))), {}, "experts: got shape"),
        (lambda logits_NE: (np.zeros((256, 1), int), np.ones((256, 2))), {}, "weights: got shape"),
        (mixtral, {"like": "magic"}, "like: got 'magic'"),
        (mixtral, {"like": "hash"}, "like: got 'hash'"),
        (mixtral, {"like": "switch"}, "gate: got 2 experts per token, allowed is k = 1"),
        (mixtral, {"like": "topk", "magic": 1}, "option of router topk: got 'magic'"),
        (mixtral, {"magic": 1}, "option without like: got 'magic'"),
        (mixtral, {"score": "magic"}, "score: got 'magic'"),
        (mixtral, {"k": 3}, "k: got 3"),
        (mixtral, {"n_group": 3}, "n_group: got 3"),
        (mixtral, {"n_experts": 2}, "n_experts: got 2"),
        (mixtral, {"tolerance": 0.0}, "tolerance: got 0.0"),
        (mixtral, {"coefficient": 0.0}, "coefficient: got 0.0"),
        (mixtral, {"like": moe.make_router("topk"), "k": 2}, "options: got k with a router"),
        (mixtral, {"aux_loss": lambda layers: "much"}, "aux_loss: returned"),
        (mixtral, {"aux_loss": broken}, "aux_loss: failed (RuntimeError: no)"),
        ("no-such.npz", {}, "'no-such.npz': got no such file"),
        ("no-such.npz", {"aux_loss": transformers_loss}, "aux_loss: got a function with a file"),
    ],
)
def test_wrong_arguments_are_value_errors(gate, options: dict, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        moe.check_gate(gate, **options)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()


# PyTorch ---------------------------------------------------------------------------------------


class Tensor:
    """What matters of PyTorch's tensors: numpy gets nothing that needs a gradient or is elsewhere.

    `bare` ones don't speak numpy's protocol and only have `numpy`.
    """

    def __init__(self, values, requires_grad=False, device="cpu", breaks=False) -> None:
        self.values, self.requires_grad = np.asarray(values), requires_grad
        self.device, self.breaks, self.dtype = device, breaks, "torch.float32"

    def detach(self):
        return type(self)(self.values, False, self.device, self.breaks)

    def cpu(self):
        return type(self)(self.values, self.requires_grad, "cpu", self.breaks)

    def numpy(self):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.device != "cpu" or self.breaks:
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        return self.values

    def __array__(self, dtype=None, copy=None):
        return self.numpy()


class Bare(Tensor):
    __array__ = None


del Bare.__array__


class Rounded(Tensor):
    """A bfloat16 tensor, which numpy cannot read before `float()`."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.dtype = "torch.bfloat16"

    def numpy(self):
        raise TypeError("Got unsupported ScalarType BFloat16")

    def float(self):
        bits = self.values.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return Tensor(bits.view(np.float32))


@pytest.mark.parametrize("kind", [Tensor, Bare])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_tensors_that_need_a_gradient_are_read_wherever_they_are(kind, device: str) -> None:
    def gate(logits_NE, k=2):
        expert_NK, weight_NK = mixtral(logits_NE)
        return kind(expert_NK, False, device), kind(weight_NK, True, device)

    def loss(layers, experts):
        return kind(np.mean([switch_loss(*layer) for layer in zip(layers, experts)]), True, device)

    report = moe.check_gate(gate, like="topk", aux_loss=loss)
    assert report.clean and verdicts(report)["f_sums_to_k"] == "clean", report.words()


def test_tensors_in_bfloat16_are_read_and_need_the_wider_tolerance() -> None:
    def gate(logits_NE):
        expert_NK, weight_NK = mixtral(logits_NE)
        return expert_NK, Rounded(weight_NK, True)

    assert not moe.check_gate(gate, like="topk").clean
    assert moe.check_gate(gate, like="topk", tolerance=0.02).clean


class Module:
    """PyTorch's modules: a call takes anything and hands it to `forward`."""

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    def forward(self, logits_NE, bias_E=0.0):
        return v3(logits_NE, bias_E=bias_E, leak=True)


class Open(Module):
    def forward(self, logits_NE, **settings):
        return v3(logits_NE, **{n: v for n, v in settings.items() if n not in ("n_experts",)})


def test_a_module_takes_what_its_forward_takes() -> None:
    assert moe.check_gate(Module(), like="deepseek_v3", **V3).bugs == ("bias_in_weights",)
    assert moe.check_gate(Open(), like="deepseek_v3", **V3).clean


def test_a_gate_may_compute_in_place_and_hand_out_the_same_memory_again() -> None:
    expert_NK, weight_NK = np.zeros((256, 2), int), np.zeros((256, 2))

    def gate(logits_NE):
        expert_NK[:], weight_NK[:] = mixtral(logits_NE)
        logits_NE[:] = 0
        return expert_NK, weight_NK

    aux_loss = per_layer(switch_loss, np.mean)
    report = moe.check_gate(gate, like="topk", aux_loss=aux_loss)
    assert report.clean and verdicts(report)["concatenated_layers"] == "clean", report.words()


# Group scores ----------------------------------------------------------------------------------


def by_maximum(logits_NE, bias_E=0.0, k=4, n_group=4, topk_group=2):
    """DeepSeek-V3's gate but for the group's score, as vLLM's was before its pull request 13474."""
    scores_NE = sigmoid(logits_NE)
    group_NGM = (scores_NE + bias_E).reshape(len(scores_NE), n_group, -1)
    in_reach_NG = np.zeros(group_NGM.shape[:2], bool)
    np.put_along_axis(in_reach_NG, best(group_NGM.max(axis=2), topk_group), True, axis=1)
    select_NE = np.where(in_reach_NG[:, :, None], group_NGM, -np.inf).reshape(scores_NE.shape)
    expert_NK = best(select_NE, k)
    weight_NK = at(scores_NE, expert_NK)
    return expert_NK, 2.5 * weight_NK / weight_NK.sum(axis=1, keepdims=True)


def test_a_group_score_by_the_maximum_is_found_with_and_without_the_groups() -> None:
    plain = moe.check_gate(by_maximum, like="deepseek_v3", k=4)
    assert plain.bugs == ("group_score",) and not plain.notes, plain.words()
    sizes = {"n_experts": 256, "n_group": 8, "topk_group": 4, "k": 8}

    def large(logits_NE, bias_E=0.0):
        return by_maximum(logits_NE, bias_E, 8, 8, 4)

    report = moe.check_gate(large, like="deepseek_v3", **sizes)
    assert report.bugs == ("group_score",) and not report.notes, report.words()
    assert verdicts(report)["mask_zero"] == "clean"
    assert 0.05 < report.finding("group_score").value < 0.9


def test_without_a_name_either_group_score_may_be_meant() -> None:
    for gate in (by_maximum, v3):
        report = moe.check_gate(gate, k=4, n_group=4, topk_group=2)
        finding = report.finding("group_score")
        assert report.clean and finding.verdict == "cannot tell"
        assert "like=" in finding.advice and "n_group" not in finding.advice


def test_no_advice_says_what_was_said() -> None:
    def second_best(logits_NE, bias_E=0.0):
        expert_NK = best(sigmoid(logits_NE), 5)[:, 1:]
        weight_NK = at(sigmoid(logits_NE), expert_NK)
        return expert_NK, 2.5 * weight_NK / weight_NK.sum(axis=1, keepdims=True)

    report = moe.check_gate(second_best, like="deepseek_v3", **V3)
    (note,) = report.notes
    assert "the experts are not the 4 with the best scores in the 2 best of 4 groups." in note
    assert "say n_group" not in report.words()
    for like, options in (
        (moe.make_router("deepseek_v3", k=4), {}),
        ("deepseek_v3", {"k": 4, "n_group": 1}),
    ):
        assert "say n_group" not in moe.check_gate(second_best, like=like, **options).words()
    assert "say n_group" in moe.check_gate(second_best, like="deepseek_v3", k=4).words()
    report = moe.check_gate(mixtral, like="topk", aux_loss=lambda layers: 0.1, coefficient=0.5)
    assert "say coefficient" not in report.words()
    assert "aux_loss" not in report.words()


def test_numbers_beyond_all_bounds_are_no_clean_gate(tmp_path: Path) -> None:
    arrays = {n: good()[n] for n in ("logits", "experts")} | {"bias": np.full(16, 1.7e308)}
    for size in (1e300, 1.7e308):
        weights = np.full(good()["experts"].shape, size)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            path = saved(tmp_path, arrays | {"weights": weights, "aux_loss": size})
            for like in ("topk", "deepseek_v3", None):
                options = {} if like is None else {"like": like}
                report = moe.check_gate(path, **options, coefficient=1e-300)
                assert not report.clean
                assert "Infinity" not in json.dumps(report.as_json())


def test_a_choice_over_the_whole_batch_is_compared_where_the_batch_is_known(tmp_path) -> None:
    router = moe.make_router("sinkhorn", k=2)
    report = moe.check_gate(OwnGate(moe.make_router("deepseek_moe")), like=router)
    assert "not those that sinkhorn chooses for the same batch" in report.notes[0]
    assert not report.clean and not report.unchecked
    arrays = {n: good()[n] for n in ("logits", "experts")}
    arrays["weights"] = at(softmax(good()["logits"].reshape(-1, 16)),
                           good()["experts"].reshape(-1, 2)).reshape(3, 200, 2)  # fmt: skip
    report = moe.check_gate(saved(tmp_path, arrays), like="sinkhorn")
    assert report.clean and "choice of experts is not checked" in report.words()


# Files -----------------------------------------------------------------------------------------


def recorded(router: moe.Router, bug: str, n_layers: int = 3, dtype: str = "float32") -> dict:
    """What a run of the own gate would save: logits, routing under a bias, loss of all layers."""
    rng = np.random.default_rng(7)
    logits_LNE = rng.normal(0, 2, (n_layers, 200, 16)) + 2 * rng.normal(0, 1, (n_layers, 1, 16))
    bias_E = rng.normal(-0.8, 0.4, 16).astype(np.float32)
    gate = OwnGate(router, bug)
    answers = [gate(logits_NE.astype(np.float32), bias_E=bias_E) for logits_NE in logits_LNE]
    experts, weights = (np.stack(part) for part in zip(*answers))
    loss = gate.aux_loss(list(logits_LNE), list(experts))
    return {
        "logits": logits_LNE.astype(np.float32),
        "experts": experts,
        "weights": weights.astype(dtype),
        "bias": bias_E,
        "aux_loss": np.float32(loss),
    }


def saved(tmp_path: Path, arrays: dict, name: str = "routing.npz") -> Path:
    np.savez(tmp_path / name, **arrays)
    return tmp_path / name


@pytest.mark.parametrize("bug", ["", *GATE_BUGS])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_bug_is_found_in_a_file_and_no_other(tmp_path: Path, bug: str, dtype: str) -> None:
    arrays = recorded(moe.make_router("deepseek_v3", **V3), bug, dtype=dtype)
    report = moe.check_gate(
        saved(tmp_path, arrays | {"n_group": 4, "topk_group": 2}), like="deepseek_v3"
    )
    print(f"{bug or 'clean':20s}", {f.bug: f.value and round(f.value, 6) for f in report.findings})
    assert report.bugs == ((bug,) if bug else ()) and not report.notes, report.words()
    assert set(verdicts(report).values()) <= {"clean", "has the bug"}


def test_what_a_file_cannot_show_is_left_open(tmp_path: Path) -> None:
    router = moe.make_router("topk", k=2)
    arrays = recorded(router, "")
    small = {n: a[0] for n, a in arrays.items() if n in ("logits", "experts", "weights")}
    said = verdicts(moe.check_gate(saved(tmp_path, small), like="topk"))
    assert said["bias_in_weights"] == said["f_sums_to_k"] == "not applicable"
    one = recorded(router, "", n_layers=1)
    said = verdicts(moe.check_gate(saved(tmp_path, one), like="topk"))
    assert said["concatenated_layers"] == "cannot tell" and said["f_sums_to_k"] == "clean"
    # Over two layers with k = 2, the sum of clean losses is the mean of doubled ones.
    doubled = recorded(router, "f_sums_to_k", n_layers=2)
    said = verdicts(moe.check_gate(saved(tmp_path, doubled), like="topk"))
    assert said["f_sums_to_k"] == "cannot tell"
    first = recorded(moe.make_router("topk", k=1), "")
    said = verdicts(moe.check_gate(saved(tmp_path, first), like="topk"))  # its weights are all 1
    assert said["bias_in_weights"] == "cannot tell"
    positive = recorded(moe.make_router("deepseek_v3", **V3), "")
    positive |= {"bias": np.zeros(16, np.float32), "n_group": 4, "topk_group": 2}
    logits = positive["logits"]
    answers = [OwnGate(moe.make_router("deepseek_v3", **V3))(layer) for layer in logits]
    positive["experts"], positive["weights"] = (np.stack(part) for part in zip(*answers))
    said = verdicts(moe.check_gate(saved(tmp_path, positive), like="deepseek_v3"))
    assert said["mask_zero"] == "cannot tell" and said["bias_in_weights"] == "not applicable"


def test_losses_layer_by_layer_tell_what_their_sum_does_not(tmp_path: Path) -> None:
    router = moe.make_router("topk", k=2)
    arrays, gate = recorded(router, ""), OwnGate(router, "f_sums_to_k")
    arrays["aux_loss"] = np.array(
        [0.1 * gate.aux_loss([a], [b]) for a, b in zip(arrays["logits"], arrays["experts"])]
    )
    path = saved(tmp_path, arrays | {"coefficient": 0.1})
    assert moe.check_gate(path, like="topk").bugs == ("f_sums_to_k",)
    assert moe.check_gate(path, like="topk", coefficient=0.2).bugs == ()


def test_rounding_to_bfloat16_needs_a_wider_tolerance(tmp_path: Path) -> None:
    arrays = recorded(moe.make_router("topk", k=2), "")
    arrays.pop("aux_loss")
    bits = arrays["weights"].view(np.uint32) & np.uint32(0xFFFF0000)
    path = saved(tmp_path, arrays | {"weights": bits.view(np.float32)})
    assert "no known form" in moe.check_gate(path, like="topk").notes[0]
    assert moe.check_gate(path, like="topk", tolerance=0.02).clean


def test_a_file_can_say_what_the_gate_is_meant_to_be(tmp_path: Path) -> None:
    arrays = recorded(moe.make_router("topk", k=2), "no_renormalize")
    assert moe.check_gate(saved(tmp_path, arrays)).bugs == ()
    says = {"renormalize": True, "score": "softmax", "scale": 1.0}
    report = moe.check_gate(saved(tmp_path, arrays | says))
    assert report.bugs == ("no_renormalize",)
    compressed = tmp_path / "compressed.npz"
    np.savez_compressed(compressed, **arrays | says)
    assert moe.check_gate(compressed).bugs == ("no_renormalize",)


@cache
def good() -> dict:
    return recorded(moe.make_router("topk", k=2), "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": None}, "got no array 'weights'"),
        ({"secret": np.ones(3)}, "got array 'secret'"),
        ({"logits": np.full((3, 200, 16), np.nan)}, "logits: got NaN"),
        ({"logits": np.ones((3, 200, 16), int)}, "logits: got dtype int64"),
        ({"logits": np.ones((3, 200, 16), complex)}, "array 'logits': got dtype '<c16'"),
        ({"logits": np.ones(7)}, "logits: got shape (7,)"),
        ({"logits": np.ones((0, 4))}, "logits: got shape (1, 0, 4)"),
        ({"weights": np.ones((3, 200, 5))}, "weights: got shape"),
        ({"experts": np.full((3, 200, 2), 16)}, "experts: got numbers outside 0..15"),
        ({"experts": np.full((3, 200, 2), -1)}, "experts: got numbers outside 0..15"),
        ({"experts": np.zeros((3, 200, 2), int)}, "one expert twice"),
        ({"bias": np.ones(5)}, "bias: got shape (1, 5)"),
        ({"aux_loss": np.ones(2)}, "aux_loss: got 2 numbers"),
        ({"aux_loss": np.inf}, "aux_loss: got NaN or infinity"),
        ({"n_group": np.ones(2)}, "n_group: got float64 of shape (2,)"),
        ({"n_group": 5}, "n_group: got 5"),
        ({"n_group": 2.5}, "n_group: got 2.5"),
        ({"scale": -1.0}, "scale: got -1.0"),
        ({"scale": np.nan}, "scale: got float64"),
        ({"coefficient": 0.0}, "coefficient: got 0.0"),
        ({"score": "magic"}, "score: got 'magic'"),
        ({"score": "x" * 1000}, "score: got 'xxx"),
        ({"score": 3}, "score: got int64"),
        ({"score": np.array(["softmax", "sigmoid"])}, "score: got <U7 of shape (2,)"),
        ({"logits": np.array([{}, None])}, "array 'logits': got pickled objects"),
        ({"renormalize": 7}, "renormalize: got 7, allowed is a truth value"),
        ({"logits": np.zeros((2**20, 9), np.int8)}, "logits: got 9437184 numbers"),
    ],
)
def test_files_that_do_not_fit_are_value_errors(tmp_path: Path, change: dict, words: str) -> None:
    arrays = {name: value for name, value in (good() | change).items() if value is not None}
    with pytest.raises(ValueError) as caught:
        moe.check_gate(saved(tmp_path, arrays))
    assert words in str(caught.value)


def npy(shape: str, data: bytes = b"", descr: str = "<f4", header: bytes = b"") -> bytes:
    """Bytes of a .npy stream with a header of one's own."""
    text = (
        header or f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    )
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + data


def zipped(tmp_path: Path, content: bytes, **others: bytes) -> Path:
    path = tmp_path / "hostile.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("logits.npy", content)
        for name, body in others.items():
            archive.writestr(f"{name}.npy", body)
    return path


HOSTILE = {
    "shape without data": npy("(1000000, 1)"),
    "huge shape": npy("(1000000000000, 1000000000000)"),
    "negative shape": npy("(-1, 4)"),
    "shape that is no tuple": npy("'a'"),
    "no header": b"",
    "not numpy": b"hello" * 100,
    "pickle": b"\x93NUMPY\x01\x00" + struct.pack("<H", 60) + b"{'descr': '|O'}".ljust(60),
    "long header": npy("", header=b"{" + b" " * 20_000 + b"}"),
    "deep header": npy("", header=b"(" * 3000),
    "code in the header": npy("", header=b"__import__('os').abort()\n"),
    "header longer than the file": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
    "newer version": b"\x93NUMPY\x09\x00" + b"\x00" * 64,
    "more data than said": npy("(1, 1)", b"\x00" * 40),
    "text of length 0": npy("(1, 1)", descr="<U0"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arrays_are_value_errors(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError):
        read_recordings(zipped(tmp_path, HOSTILE[name]))


def test_what_the_reader_of_checkpoints_refuses_is_refused_here(tmp_path: Path) -> None:
    """Text beyond Unicode, something before the archive, names twice, truth values beyond 1."""
    buffer = io.BytesIO()
    np.savez(buffer, **good())
    whole, bad = buffer.getvalue(), tmp_path / "bad.npz"
    for name, content, words in (
        ("score", npy("()", b"\xff\xff\xff\x7f", "<U1"), "text that is no Unicode"),
        ("renormalize", npy("()", b"\x07", "|b1"), "truth values other than 0 and 1"),
    ):
        with pytest.raises(ValueError, match=words):
            moe.check_gate(zipped(tmp_path, npy("(0, 2)"), **{name: content}))
    bad.write_bytes(b"junk" + whole)
    with pytest.raises(ValueError, match="does not begin as a zip file"):
        moe.check_gate(bad)
    with zipfile.ZipFile(bad, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            archive.writestr("logits.npy", npy("(0, 2)"))
    with pytest.raises(ValueError, match=r"'logits\.npy' twice"):
        moe.check_gate(bad)


def test_hostile_archives_are_value_errors(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **good())
    whole = buffer.getvalue()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    path = tmp_path / "broken.npz"
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:-30], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"broken\.npz"):
            moe.check_gate(path)
    with pytest.raises(ValueError, match="that unpack to 67108865, allowed are 16777216"):
        moe.check_gate(zipped(tmp_path, bytes(MAX_BYTES + 1)))
    with pytest.raises(ValueError, match="got 41 entries, allowed are 11"):
        moe.check_gate(zipped(tmp_path, b"", **{f"a{n}": b"" for n in range(40)}))
    with path.open("wb") as huge:
        huge.truncate(MAX_BYTES + 1)
    with pytest.raises(ValueError, match="got 67108865 bytes, allowed are 67108864"):
        moe.check_gate(path)
    with pytest.raises(ValueError, match="something that is not a plain file"):
        moe.check_gate(tmp_path)


# Command line ----------------------------------------------------------------------------------


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(run_moe: Run) -> Run:
    """`moe check-gate` with what follows it, on a wide screen."""
    return lambda *arguments, code: run_moe("check-gate", *arguments, code=code, COLUMNS="200")


def assert_refused(done: subprocess.CompletedProcess[str]) -> None:
    """One line says why; before it there may be word of compiled kernels."""
    assert done.stdout == "" and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("moe: ")
    assert done.stderr.count("moe: ") == 1


def test_command_without_a_gate_shows_the_bugs(run: Run) -> None:
    rows = json.loads(run("--json", code=0).stdout)
    assert [row["bug"] for row in rows] == list(GATE_BUGS) and all(r["detected"] for r in rows)
    text = run(code=0).stdout
    assert all(bug.title in text for bug in GATE_BUGS.values())


def test_command_on_a_file(tmp_path: Path, run: Run) -> None:
    arrays = recorded(moe.make_router("deepseek_v3", **V3), "mask_zero")
    path = str(saved(tmp_path, arrays))
    like = ["--like", "deepseek_v3", "--n-group", "4", "--topk-group", "2"]
    report = json.loads(run(path, *like, "--json", code=1).stdout)
    assert report["bugs"] == ["mask_zero"]
    text = run(path, *like, code=1).stdout
    assert f"1 of {len(GATE_BUGS)} known bugs" in text and "Fill masked groups with -inf." in text
    assert "of tokens the experts are not the 4" in run(path, code=1).stdout


def test_command_on_a_function(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command adds the folder to it
    (tmp_path / "my_gate.py").write_text(
        "import numpy as np\n"
        "def gate(logits):\n"
        "    experts = np.argsort(-logits, axis=1)[:, :2]\n"
        "    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)\n"
        "    return experts, np.take_along_axis(p, experts, axis=1)\n"
        "def loss(layers):\n"
        "    return 1.0\n"
        "number = 3\n"
        "def leaves(logits):\n"
        "    raise SystemExit(1)\n"
        "class Lost:\n"
        "    def __array__(self, *args, **kwargs):\n"
        "        raise RuntimeError('Can\\'t call numpy()\\non Tensor that requires grad.')\n"
        "def needs_gradient(logits):\n"
        "    return Lost(), Lost()\n"
    )
    (tmp_path / "leaves.py").write_text("raise SystemExit(1)\n")
    run("my_gate:gate", "--like", "deepseek_moe", code=0)
    run("my_gate:gate", "--like", "topk", code=1)
    run("my_gate:gate", "--no-renormalize", code=0)
    said = run("my_gate:gate", "--renormalize", "--json", code=1)
    assert json.loads(said.stdout)["bugs"] == ["no_renormalize"]
    said = run("my_gate:gate", "--aux-loss", "my_gate:loss", "--json", code=1)
    assert "balance loss" in json.loads(said.stdout)["notes"][0]
    for name in ("my_gate:leaves", "my_gate:needs_gradient", "leaves:gate", "x\0y", "x" * 5000):
        assert_refused(run(name, code=2))
    for name in ("my_gate:number", "my_gate:nothing", "no_module:gate", "nothing", ":", "x.npz"):
        assert_refused(run(name, code=2))


def test_command_refuses_a_hostile_file_in_one_line(tmp_path: Path, run: Run) -> None:
    assert_refused(run(str(zipped(tmp_path, HOSTILE["huge shape"])), code=2))


def test_help_has_an_example(run: Run) -> None:
    text = run("--help", code=0).stdout
    assert "Example: moe check-gate" in text and "--json" in text and "exit code" in text
