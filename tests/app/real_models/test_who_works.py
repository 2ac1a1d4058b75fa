"""Who works in real models: every figure worked out again from the files themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import moe.traffic.tables as shipped
from moe.app.real_models import who_works

TASKS = {"Requests": "intent", "Law": "law", "Summaries": "summary", "Translation": "translation"}


def file(name: str) -> dict[str, Any]:
    path = Path(shipped.__file__).parent / "tables" / f"{name}.json"
    read: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return read


V2, OLMOE, MIXTRAL = file("v2-lite"), file("olmoe"), file("mixtral")


def ratios(loads: list[int]) -> list[float]:
    return [load * len(loads) / sum(loads) for load in loads]


def mean_of_busiest(layers: list[list[int]]) -> float:
    return sum(max(ratios(loads)) for loads in layers) / len(layers)


def test_the_map_is_of_26_layers_of_64_experts() -> None:
    for choice, task in TASKS.items():
        by_hand = [ratios(loads) for loads in V2["loads"][task]]
        assert len(by_hand) == 26 and {len(row) for row in by_hand} == {64}
        assert who_works.fair_shares(choice).tolist() == [pytest.approx(row) for row in by_hand]
    mixed = [
        [sum(values) / 4 for values in zip(*(ratios(V2["loads"][t][i]) for t in TASKS.values()))]
        for i in range(26)
    ]
    assert who_works.fair_shares("All four").tolist() == [pytest.approx(row) for row in mixed]
    assert (*TASKS, "All four") == who_works.CHOICES and who_works.USUAL in TASKS
    said = who_works.model_words()
    assert said.startswith("DeepSeek-V2-Lite has 64 experts in each of 26 layers.")


@pytest.mark.parametrize(("choice", "times", "layers"), [
    ("Requests", "4.1", "24 of 26"), ("Law", "3.6", "all 26"), ("Summaries", "4.3", "24 of 26"),
    ("Translation", "5.8", "all 26"),
])  # fmt: skip
def test_the_busiest_expert_of_a_text_in_words(choice: str, times: str, layers: str) -> None:
    task = TASKS[choice]
    assert f"{mean_of_busiest(V2['loads'][task]):.1f}" == times
    own = 0
    for i, loads in enumerate(V2["loads"][task]):
        best = [V2["loads"][other][i] for other in TASKS.values() if other != task]
        own += loads.index(max(loads)) not in [other.index(max(other)) for other in best]
    assert who_works.own_layers(choice) == own
    assert layers == ("all 26" if own == 26 else f"{own} of 26")
    assert who_works.busiest_words(choice) == (
        f"On **{choice.lower()}**, the busiest expert of a layer does **{times} times** its fair "
        f"share. On other texts, it is another in {layers} layers."
    )


def test_all_texts_at_once_are_more_even_than_each_alone() -> None:
    alone = [mean_of_busiest(V2["loads"][task]) for task in TASKS.values()]
    assert who_works.busiest("All four") < min(alone)
    said = who_works.busiest_words("All four")
    assert "does **2.8 times** its" in said
    assert said.endswith(f"it is {min(alone):.1f} to {max(alone):.1f} times.")


def test_98_percent_of_arxiv_choose_one_expert() -> None:
    one = who_works.one_expert()
    assert OLMOE["loads"]["arxiv"][0][0] == 204_013 and OLMOE["tokens"]["arxiv"] == 208_896
    assert (one.model, one.text, one.layer, one.expert) == ("OLMoE-1B-7B", "arxiv", 0, 0)
    shares = {text: OLMOE["loads"][text][0][0] / n for text, n in OLMOE["tokens"].items()}
    assert one.share == pytest.approx(shares)
    assert list(one.share.values()) == sorted(shares.values(), reverse=True)
    # No other text is so much one expert's.
    others = [max(OLMOE["loads"][text][0]) / n for text, n in OLMOE["tokens"].items()]
    assert max(others) == shares["arxiv"] and sorted(others)[-2] < 0.8
    rest = [share for text, share in shares.items() if text != "arxiv"]
    assert one.words() == (
        "**98% of arXiv tokens choose one expert in OLMoE’s first layer**: 204,013 of 208,896. "
        f"Its fair share would be {100 * 8 / 64}%. Of the other texts, {100 * min(rest):.1f}% to "
        f"{100 * max(rest):.0f}% of the tokens choose it."
    )


def test_three_models_side_by_side() -> None:
    found = {one.model: one for one in who_works.models()}
    means = {}
    for written in (V2, OLMOE, MIXTRAL):
        one = found.pop(written["model"])
        times = {text: mean_of_busiest(layers) for text, layers in written["loads"].items()}
        assert one.times == pytest.approx(times)
        assert (one.experts, one.k, one.layers) == (
            written["n_experts"], written["k"], len(written["layers"]),
        )  # fmt: skip
        assert one.most == written["n_experts"] / written["k"] > max(times.values())
        means[one.model] = sum(times.values()) / len(times)
        low, high = min(times.values()), max(times.values())
        assert one.label == f"{means[one.model]:.1f} ({low:.1f} to {high:.1f})"
    assert not found
    assert who_works.models_words() == (
        f"**Mixtral-8x7B is the most even**: its busiest expert does {means['Mixtral-8x7B']:.1f} "
        f"times its fair share, against {means['DeepSeek-V2-Lite']:.1f} in DeepSeek-V2-Lite and "
        f"{means['OLMoE-1B-7B']:.1f} in OLMoE-1B-7B. What is possible differs, too: at most 11 "
        "with 6 of 64 experts, 8 with 8 of 64 experts, 4 with 2 of 8 experts for each token."
    )


def test_sources_name_commit_licence_and_command() -> None:
    said = who_works.sources()
    for line, written in zip(said, (V2, OLMOE, MIXTRAL), strict=True):
        assert f"{sum(written['tokens'].values()):,} tokens" in line and written["source"] in line
        assert written["commit"][:7] in line and written["licence"] in line
        assert f"`{written['command']}`" in line
        assert ("layers 0, 7, 15" if len(written["layers"]) == 3 else "26 layers") in line


def test_names_of_texts_are_those_of_the_tables() -> None:
    texts = {text for written in (V2, OLMOE, MIXTRAL) for text in written["loads"]}
    assert texts == set(who_works.NAMES)
