"""Golden vectors: exact, the same for ports in three languages, and wrong where a bug is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import moe
from moe.checkpoints.families import LOADABLE
from moe.gates.bugs import GATE_BUGS, OwnGate
from moe.porting.caught import CAUGHT_BY
from moe.porting.document import SCHEMA, Golden, golden
from moe.porting.tokens import BROKEN, KINDS, PADDING
from tests.porting.ports import (
    IN_C,
    IN_JAVASCRIPT,
    JAVASCRIPT,
    MISTAKES,
    compiled,
    ended,
    lines_of,
    node,
    said_in_javascript,
)

# Gates that the library's own check does not describe: no fixed scores, and a sum with an addend.
UNDESCRIBED = ("phimoe", "lfm2_moe")
# Gates that differ; a softmax of the chosen logits leaves no line for some of the bugs.
DIFFERENT = ("deepseek_v3", "qwen3_next", "ernie4_5_moe", "minimax_m2", "deepseek_v4", "dots1")
Made = dict[str, Golden]


@pytest.fixture(scope="module")
def made() -> Made:
    return {family: golden(family) for family in LOADABLE}


@pytest.fixture(scope="module")
def files(made: Made, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("golden")
    for family, one in made.items():
        one.save(folder / f"{family}.json")
    return [folder / f"{family}.json" for family in made]


def failed(lines: list[str]) -> dict[str, set[str]]:
    """Names that a port in JavaScript fails at, by family."""
    found: dict[str, set[str]] = {family: set() for family in LOADABLE}
    for line in lines:
        if not line.endswith(" losses agree"):
            family, _, rest = line.partition(": ")
            found[family].add(rest.rpartition(": ")[0])
    return found


def named(one: Golden, vector: str) -> set[str]:
    """Names of a golden file that test something: a loss, or tokens with numbers behind."""
    names = [*one.names, *(loss.name for loss in one.losses)]
    return {name for name in names if name.partition(" (")[0] == vector}


# Numbers -----------------------------------------------------------------------------------------


def test_every_family_has_64_tokens_of_different_names_that_are_exact_in_any_order(
    made: Made,
) -> None:
    for family, one in made.items():
        assert len(set(one.names)) == 64, family
        x_ND, gate_DE = (one.arrays[name].astype(np.float32) for name in ("x_ND", "gate_DE"))
        bias_E = one.arrays.get("gate_bias_E", np.zeros(12)).astype(np.float32)
        backwards_NE = np.zeros((64, 12), np.float32)
        for i in reversed(range(16)):
            backwards_NE += x_ND[:, i : i + 1] * gate_DE[i]
        np.testing.assert_array_equal(backwards_NE + bias_E, one.arrays["logits_NE"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_file_gives_the_same_bits_back(tmp_path: Path, dtype: str) -> None:
    one = golden("gpt_oss", dtype, seed=3)
    one.save(tmp_path / "a.json")
    read = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert (read["schema"], read["dtype"], read["seed"]) == (SCHEMA, dtype, 3)
    assert list(read)[-1] == "config" and read["config"]["model_type"] == "gpt_oss"
    for name, array in one.arrays.items():
        again = np.array(read[name], dtype=float).reshape(read["shapes"][name])
        assert again.astype(array.dtype).tobytes() == array.tobytes(), name
        np.testing.assert_array_equal(again.astype(array.dtype), array)
        assert array.dtype in (np.dtype(dtype), np.int32, np.int64)


def test_same_seed_same_bits_and_another_seed_other_tokens() -> None:
    texts = [json.dumps(golden("dbrx", seed=seed).as_json()) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_a_checkpoint_of_the_layer_computes_the_same(tmp_path: Path) -> None:
    for family in ("cohere2_moe", "gpt_oss", "longcat_flash", "ernie4_5_moe"):
        one = golden(family)
        one.save_checkpoint(tmp_path / family)
        layer = moe.load_layer(tmp_path / family, moe.moe_layers(tmp_path / family)[-1])
        whole_N = np.array([name != BROKEN for name in one.names])
        y_ND = layer(one.arrays["x_ND"][whole_N])
        np.testing.assert_array_equal(y_ND, one.arrays["y_ND"][whole_N])


def test_nan_reaches_its_own_token_alone_and_padding_no_loss(made: Made) -> None:
    for one in made.values():
        broken = one.names.index(BROKEN)
        for name in ("y_ND", "d_x_ND", "weights_NK"):
            assert np.flatnonzero(np.isnan(one.arrays[name]).any(axis=1)).tolist() == [broken]
        assert all(np.isfinite(one.arrays[f"d_{name}"]).all() for name in one.layer.params)
        padding = [n for n, name in enumerate(one.names) if name.startswith(PADDING)]
        assert np.flatnonzero(one.arrays["mask_N"] == 0).tolist() == sorted([*padding, broken])
        assert not one.arrays["dy_ND"][padding].any() and not one.arrays["d_x_ND"][padding].any()
        assert not set(padding) & set(one.losses[-1].layers[0])


# Gradients ---------------------------------------------------------------------------------------


def objective(one: Golden, arrays: dict[str, np.ndarray]) -> float:
    """Sum of y dy plus the last loss, written anew, with the choices and f as they are."""
    words = one.as_json()
    kept_N = np.array([name != BROKEN for name in one.names])
    x_ND, dy_ND = arrays["x_ND"][kept_N], one.arrays["dy_ND"][kept_N]
    expert_NK = one.arrays["choices_NK"][kept_N].astype(int)
    logits_NE = x_ND @ arrays["gate_DE"] + arrays.get("gate_bias_E", 0.0)
    powers_NE = np.exp(logits_NE - logits_NE.max(axis=1, keepdims=True))
    scores_NE = {
        "softmax": lambda: powers_NE / powers_NE.sum(axis=1, keepdims=True),
        "sigmoid": lambda: 1 / (1 + np.exp(-logits_NE)),
        "sqrt_softplus": lambda: np.sqrt(np.logaddexp(0, logits_NE)),
    }[words["score"]]()
    weight_NK = np.take_along_axis(scores_NE, expert_NK, axis=1)
    if words["softmax_order"] == "after":
        chosen_NK = np.take_along_axis(powers_NE, expert_NK, axis=1)
        weight_NK = chosen_NK / chosen_NK.sum(axis=1, keepdims=True)
    elif words["renormalize"]:
        weight_NK = weight_NK / (weight_NK.sum(axis=1, keepdims=True) + words["norm_eps"])
    weight_NK = words["scale"] * weight_NK

    def network(
        x_D: np.ndarray, up_DH: np.ndarray, down_FD: np.ndarray, b_H: Any, b_D: Any
    ) -> np.ndarray:
        h_H, limit = x_D @ up_DH + b_H, words["limit"] or np.inf
        if not words["gated"]:
            return np.maximum(h_H, 0) ** 2 @ down_FD + b_D
        gate_F, up_F = np.split(h_H, 2)
        gate_F, up_F = np.minimum(gate_F, limit), np.clip(up_F, -limit, limit)
        inner_F = gate_F / (1 + np.exp(-words["alpha"] * gate_F)) * (up_F + words["plus"])
        return inner_F @ down_FD + b_D

    total = 0.0
    up_EDH = arrays["w_gate_up_ED2F" if words["gated"] else "w_up_EDF"]
    zeros = np.zeros((12, 1))
    b_up_EH, b_down_ED = arrays.get("b_gate_up_E2F", zeros), arrays.get("b_down_ED", zeros)
    for x_D, dy_D, expert_K, weight_K in zip(x_ND, dy_ND, expert_NK, weight_NK):
        for e, w in zip(expert_K, weight_K):
            if e >= 12 - words["n_identity"]:
                total += w * x_D @ dy_D
                continue
            before, after = (w, 1.0) if words["weigh_input"] else (1.0, w)
            out_D = network(
                before * x_D, up_EDH[e], arrays["w_down_EFD"][e], b_up_EH[e], b_down_ED[e]
            )
            total += after * out_D @ dy_D
        if words["d_shared"]:
            up_DH = arrays["shared_w_gate_up_D2F" if words["gated"] else "shared_w_up_DF"]
            out_D = network(x_D, up_DH, arrays["shared_w_down_FD"], 0.0, 0.0)
            gate_D1 = arrays.get("shared_gate_D1")
            opened = 1.0 if gate_D1 is None else 1 / (1 + np.exp(-(x_D @ gate_D1)[0]))
            total += opened * out_D @ dy_D
    counted_N = one.arrays["mask_N"][kept_N].astype(bool)
    shares_NE = (scores_NE / scores_NE.sum(axis=1, keepdims=True))[counted_N]
    f_E = np.bincount(expert_NK[counted_N].ravel(), minlength=12) / expert_NK[counted_N].size
    return float(total + 12 * f_E @ shares_NE.mean(axis=0))


# PhiMoE's gate estimates its gradient: it is not the slope of what it computes.
@pytest.mark.parametrize("family", [family for family in LOADABLE if family != "phimoe"])
def test_gradients_are_those_of_another_forward_pass(made: Made, family: str) -> None:
    """Along a random direction of each array; the token beyond a limit has steep slopes."""
    one, rng = made[family], np.random.default_rng(0)
    names = ["x_ND", *one.layer.params]
    for name in names:
        gradient = np.nan_to_num(one.arrays[f"d_{name}"])
        direction = rng.standard_normal(gradient.shape)
        step = 1e-6
        with np.errstate(over="ignore"):  # of a sigmoid far below zero
            high, low = (
                objective(one, {**one.arrays, name: one.arrays[name] + sign * step * direction})
                for sign in (1, -1)
            )
        exact = float((gradient * direction).sum())
        size = float(np.sqrt((gradient**2).sum()))
        assert (high - low) / (2 * step) == pytest.approx(exact, abs=2e-4 * size), name


# Ports -------------------------------------------------------------------------------------------


def test_the_port_in_javascript_agrees_on_every_family(files: list[Path], tmp_path: Path) -> None:
    lines = said_in_javascript(tmp_path, files)
    assert lines == [f"{family}: 64 tokens and 4 losses agree" for family in LOADABLE]


def test_the_port_in_c_agrees_on_every_family(files: list[Path], tmp_path: Path) -> None:
    port = compiled(tmp_path)
    assert [lines_of(port, file) for file in files] == [["64 tokens agree"]] * len(LOADABLE)


def test_ports_agree_in_float32_and_with_another_seed(tmp_path: Path) -> None:
    families = ("deepseek_v3", "phimoe", "gpt_oss", "ernie4_5_moe")
    paths = [tmp_path / f"{family}.json" for family in families]
    for path, dtype in zip(paths, ("float32", "float64", "float32", "float32")):
        golden(path.stem, dtype, seed=5).save(path)
    assert all(line.endswith("agree") for line in said_in_javascript(tmp_path, paths))
    port = compiled(tmp_path)
    assert [lines_of(port, path) for path in paths] == [["64 tokens agree"]] * 4


@pytest.mark.parametrize("bug", GATE_BUGS)
def test_a_port_in_javascript_with_a_bug_fails_at_the_named_vector(
    made: Made, files: list[Path], tmp_path: Path, bug: str
) -> None:
    some = [file for file in files if file.stem in DIFFERENT]
    wrong = failed(said_in_javascript(tmp_path, some, dict([IN_JAVASCRIPT[bug]])))
    for family in DIFFERENT:
        assert named(made[family], CAUGHT_BY[bug]) <= wrong[family], family
    assert named(made["deepseek_v3"], CAUGHT_BY[bug])


@pytest.mark.parametrize("vector", MISTAKES)
def test_a_name_is_failed_by_a_port_that_does_otherwise_in_every_family(
    made: Made, files: list[Path], tmp_path: Path, vector: str
) -> None:
    some = [file for file in files if named(made[file.stem], vector)]
    wrong = failed(said_in_javascript(tmp_path, some, MISTAKES[vector]))
    assert some and all(named(made[file.stem], vector) <= wrong[file.stem] for file in some)


def test_what_is_added_to_a_sum_shows_in_float32_too(tmp_path: Path) -> None:
    vector, families = (
        "scores close to zero: what is added to their sum shows",
        ("lfm2_moe", "beam"),
    )
    paths = [tmp_path / f"{family}.json" for family in families]
    one = [golden(family, "float32") for family in families]
    for path, each in zip(paths, one):
        each.save(path)
    wrong = failed(said_in_javascript(tmp_path, paths, MISTAKES[vector]))
    for family, each in zip(families, one):
        assert wrong[family] == named(each, vector) != set()


@pytest.mark.parametrize("bug", IN_C)
def test_a_port_in_c_with_a_bug_fails_at_the_named_vector(
    made: Made, files: list[Path], tmp_path: Path, bug: str
) -> None:
    family = "deepseek_v3"
    lines = lines_of(compiled(tmp_path, bug), files[list(LOADABLE).index(family)])
    wrong = {line.rpartition(": ")[0] for line in lines}
    assert named(made[family], CAUGHT_BY[bug]) <= wrong


@pytest.mark.parametrize("bug", ["", *GATE_BUGS])
def test_the_librarys_gate_with_a_bug_fails_at_the_named_vector_of_every_family(
    made: Made, bug: str
) -> None:
    for family, one in made.items():
        if family in UNDESCRIBED:
            continue
        gate, logits_NE = OwnGate(one.layer.router, bug), one.arrays["logits_NE"]
        given = {"bias_E": one.arrays["select_bias_E"]} if "select_bias_E" in one.arrays else {}
        chosen_NK, weight_NK = gate(logits_NE, **given)
        right_NK = OwnGate(one.layer.router)(logits_NE, **given)[0]
        losses = [
            gate.aux_loss(
                [logits_NE[list(tokens)] for tokens in loss.layers],
                [right_NK[list(tokens)] for tokens in loss.layers],
            )
            for loss in one.losses
        ]
        wrong = set(one.failures(chosen_NK, weight_NK, losses=losses))
        if not bug:
            assert not wrong, family
        else:
            vectors = named(one, CAUGHT_BY[bug])
            assert vectors <= wrong, (family, vectors - wrong)


def test_every_bug_has_its_vector_and_every_port_can_have_it() -> None:
    assert list(CAUGHT_BY) == list(GATE_BUGS) == list(IN_JAVASCRIPT)
    assert set(IN_C) == set(list(GATE_BUGS)[:5])


def test_a_wrong_result_is_named_and_the_order_of_choices_does_not_count(made: Made) -> None:
    one = made["mixtral"]
    chosen_NK, weight_NK = one.arrays["choices_NK"], one.arrays["weights_NK"]
    assert one.failures(chosen_NK[:, ::-1], weight_NK[:, ::-1], one.arrays["y_ND"]) == ()
    y_ND = one.arrays["y_ND"].copy()
    y_ND[40] *= 1.01
    y_ND[one.names.index(BROKEN)] = 0
    assert set(one.failures(chosen_NK, weight_NK, y_ND)) == {one.names[40], BROKEN}


def test_a_choice_is_wrong_even_where_it_weighs_next_to_nothing(made: Made) -> None:
    one = made["mixtral"]
    token = next(
        n for n, name in enumerate(one.names) if name.startswith(CAUGHT_BY["double_softmax"])
    )
    chosen_NK, weight_NK = one.arrays["choices_NK"].copy(), one.arrays["weights_NK"]
    assert weight_NK[token, -1] < 1e-12
    chosen_NK[token, -1] = next(e for e in range(12) if e not in chosen_NK[token])
    assert one.failures(chosen_NK, weight_NK) == (one.names[token],)
    for nonsense in (-1, 12, 0.5, np.nan):
        odd_NK = one.arrays["choices_NK"].astype(float)
        odd_NK[[token, one.names.index(BROKEN)], 0] = nonsense
        assert one.failures(odd_NK, weight_NK) == (one.names[token],), nonsense


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"choices_NK": np.zeros((64, 2))},
            r"choices_NK: got shape \(64, 2\), allowed is \(64, 3\)",
        ),
        ({"weights_NK": np.zeros(3)}, r"weights_NK: got shape \(3,\), allowed is \(64, 3\)"),
        ({"weights_NK": [[1.0], [2.0, 3.0]]}, r"weights_NK: got .*, allowed are numbers of shape"),
        ({"y_ND": np.zeros((1, 16))}, r"y_ND: got shape \(1, 16\), allowed is \(64, 16\)"),
        ({"losses": [1.0] * 5}, "losses: got 5, allowed are at most 4"),
    ],
)
def test_what_a_port_gives_has_the_shapes_of_the_file(
    made: Made, change: dict[str, Any], message: str
) -> None:
    one = made["mixtral"]
    right = {name: one.arrays[name] for name in ("choices_NK", "weights_NK")}
    with pytest.raises(ValueError, match=message):
        one.failures(**{**right, **change})


def hostile(text: str) -> dict[str, str]:
    """Files that are not as the command writes them, by what was done to them."""
    wrong = {
        "schema": ("golden-1", "golden-2"), "k": ('"k":3', '"k":13'), "no k": ('"k":3', '"k":-1'),
        "half": ('"k":3', '"k":2.5'), "no number": ('"k":3', '"k":three'),
        "experts": ('"n_experts":12', '"n_experts":65'), "wide": ('"d_model":16', '"d_model":1e9'),
        "narrow": ('"d_expert":4', '"d_expert":null'), "groups": ('"n_group":4', '"n_group":0'),
        "odd groups": ('"n_group":4', '"n_group":5'), "tokens": ('"tokens":64', '"tokens":65'),
        "none": ('"tokens":64', '"tokens":0'), "identity": ('"n_identity":0', '"n_identity":-3'),
        "a list": ('"x_ND":[', '"x_ND":[['), "no gate": ('"gate_DE":', '"gate_ED":'),
        "no names": ('"names":["', '"names":[],"others":["'), "more": ('"y_ND":[', '"y_ND":[0,'),
        "fewer": ('"weights_NK":[', '"weights_NK":[],"others":['),
    }  # fmt: skip
    files = {"empty": "", "nothing": "\0" * 50, "brackets": "[" * 5000, "null": "null"}
    for name, (right, instead) in wrong.items():
        assert text.count(right) >= 1, right
        files[name] = text.replace(right, instead, 1)
    end = text.index('"shapes":')
    return files | {f"cut at {at}": text[:at] for at in range(1, end, end // 23)}


def test_ports_refuse_a_file_that_is_not_as_the_command_writes_it(
    files: list[Path], tmp_path: Path
) -> None:
    text = files[list(LOADABLE).index("deepseek_v3")].read_text("utf-8")
    port, path = compiled(tmp_path, checks=True), tmp_path / "hostile.json"
    texts = hostile(text)
    for name, instead in texts.items():
        path.write_text(instead, "utf-8")
        done = ended(port, path)
        assert (done.returncode, done.stdout.count("agree")) == (2, 0), (name, done.stderr)
        assert done.stderr.count("\n") == 1, (name, done.stderr)
    done = [ended(port), ended(node(), JAVASCRIPT), ended(port, tmp_path / "none.json")]
    assert [one.returncode for one in done] == [2, 2, 2]
    paths = [tmp_path / f"{number}.json" for number in range(len(texts))]
    for path, instead in zip(paths, texts.values()):
        path.write_text(instead, "utf-8")
    done = [ended(node(), JAVASCRIPT, *paths)]
    assert done[0].returncode == 2 and not done[0].stdout
    assert done[0].stderr.count("\n") == len(texts)


def test_ports_survive_any_number_in_any_place(files: list[Path], tmp_path: Path) -> None:
    """Whatever they say of such a file, they end by themselves."""
    rng = np.random.default_rng(0)
    text = files[list(LOADABLE).index("longcat_flash")].read_text("utf-8")
    port, path = compiled(tmp_path, checks=True), tmp_path / "odd.json"
    places = [
        at for at, letter in enumerate(text[: text.index('"shapes":')]) if letter in "0123456789"
    ]
    for _ in range(40):
        at = int(rng.choice(places))
        odd = str(rng.choice(["9", "-", "1e99", "null", "]", '"', "e", "[", "9999999999", "true"]))
        path.write_text(text[:at] + odd + text[at + 1 :], "utf-8")
        done = ended(port, path)
        assert done.returncode in (0, 1, 2) and "Sanitizer" not in done.stderr, (at, odd)


def test_every_name_is_somewhere(made: Made) -> None:
    names = {name.partition(" (")[0] for one in made.values() for name in one.names}
    assert {kind.name for kind in KINDS} <= names


def test_options_that_published_models_have_are_taken(tmp_path: Path) -> None:
    plain, divided = golden("qwen3_moe"), golden("qwen3_moe", options={"norm_topk_prob": True})
    vector = CAUGHT_BY["no_renormalize"]
    assert not named(plain, vector) and named(divided, vector)
    assert divided.config["norm_topk_prob"] is True and divided.as_json()["renormalize"] is True
    divided.save(tmp_path / "qwen3_moe.json")
    lines = said_in_javascript(tmp_path, [tmp_path / "qwen3_moe.json"])
    assert lines == ["qwen3_moe: 64 tokens and 4 losses agree"]
    summed = golden("cohere2_moe", options={"expert_selection_fn": "sigmoid"})
    assert summed.as_json()["score"] == "sigmoid"


# The command -------------------------------------------------------------------------------------


def test_the_command_writes_what_the_library_makes(
    run_moe: Callable[..., Any], tmp_path: Path
) -> None:
    path, folder = tmp_path / "a.json", tmp_path / "tiny"
    more = ("--checkpoint", str(folder), "--set", "norm_topk_prob=true", "--json")
    done = run_moe("golden", "olmoe", "--out", str(path), *more)
    one = golden("olmoe", options={"norm_topk_prob": True})
    assert json.loads(path.read_text("utf-8")) == json.loads(json.dumps(one.as_json()))
    assert json.loads(done.stdout)["names"] == list(one.names)
    assert moe.moe_layers(folder)
    before = path.read_bytes()
    said = run_moe("golden", "dbrx", "--out", str(path), "--checkpoint", str(folder), code=2).stderr
    assert said.count("\n") == 1 and path.read_bytes() == before
    assert "all experts equal" in run_moe("golden", "olmoe", "--out", str(path)).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["llama", "--out", "a.json"], "family: got 'llama', allowed is one of mixtral, "),
        (["olmoe", "--out", "a.json", "--dtype", "int8"], "dtype: got 'int8', allowed is one of"),
        (["olmoe", "--out", "a.json", "--seed", "-1"], "seed: got -1, allowed is a whole number"),
        (["olmoe", "--out", "no/such/a.json"], "out: got 'no/such/a.json' (No such file"),
        (["olmoe", "--out", "a.json", "--set", "k"], "set: got 'k', allowed is KEY=VALUE"),
        (
            ["olmoe", "--out", "a.json", "--set", "k=1", "--set", "k=2"],
            "set: got 'k=2' after another 'k', allowed is each KEY once",
        ),
        (
            ["olmoe", "--out", "a.json", "--set", "num_experts=3"],
            "option: got 'num_experts', allowed for olmoe: norm_topk_prob",
        ),
        (
            ["phimoe", "--out", "a.json", "--set", "router_jitter_noise=0"],
            "options: got SparseMixer(jitter_eps=0.0), allowed is a gate with which a token can",
        ),
        (
            ["phimoe", "--out", "a.json", "--set", "router_jitter_noise=1"],
            "options: got SparseMixer(jitter_eps=1.0), allowed is a gate with which a token can",
        ),
        (
            ["gpt_oss", "--out", "a.json", "--set", "swiglu_limit=1e30"],
            "limit: got 1e+30, allowed is less than what goes into the activation of tokens that",
        ),
        (
            ["gpt_oss", "--out", "a.json", "--set", "swiglu_limit=nan"],
            "swiglu_limit: got 'nan', allowed is a finite number",
        ),
        (
            ["olmoe", "--out", "a.json", "--set", "norm_topk_prob=3"],
            "norm_topk_prob: got 3.0, allowed is true or false",
        ),
    ],
)
def test_a_wrong_value_is_one_line(
    run_moe: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    said = run_moe("golden", *words, code=2).stderr
    assert message in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())
