"""Each page without a browser: defaults, links, hostile values, and figures computed again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from altair.utils import schemapi
from streamlit.testing.v1 import AppTest

import moe
from moe.app.balance import share as balance_share
from moe.app.balance.playback import playback
from moe.app.balance.story import compare, judge_guess, setup_words
from moe.app.cure import share as cure_share
from moe.app.cure.story import judge
from moe.app.routers import share as routers_share
from moe.app.routers.story import Choice, SideSettings, put_side_by_side
from moe.app.savings import share as savings_share
from moe.app.shared import sharing
from moe.app.shared.first_model import (
    DEFAULT_SENTENCE,
    MAX_SENTENCE,
    ready_model,
    sentence_windows,
    shown_sentence,
)
from moe.app.shared.run_slots import RunSlot, run_slot
from moe.app.start import share as start_share
from moe.app.start.story import FULL, TENTH, explain, route
from moe.speed import machine
from moe.speed.machine import Machine
from moe.speed.timing import blocks_in_turn, time_in_turn
from moe.studies import savings
from moe.studies.control import ControlSettings, respond_all
from moe.studies.savings import ACTIVE, MOE, TOTAL, MeasuredCost, SavingsSettings, count
from moe.training.runs import run

ROOT = Path(__file__).resolve().parents[2]
SPOKEN = '<p class="moe-spoken">'


def open_page(name: str, **query: str) -> AppTest:
    script = f"from moe.app.{name} import page\npage.show()\n"
    page = AppTest.from_string(script, default_timeout=120)
    for key, value in query.items():
        page.query_params[key] = value
    return page.run()


def words(page: AppTest) -> str:
    return "\n".join(element.value for element in page.markdown)


def specs(page: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in page.get("vega_lite_chart")]


def spoken(page: AppTest) -> list[str]:
    """What screen readers are told above each chart."""
    bodies = [html.proto.body for html in page.get("html")]
    return [body.partition(SPOKEN)[2] for body in bodies if SPOKEN in body]


@pytest.fixture(autouse=True)
def one_call_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are measured with one call: the page is tested, not this computer."""
    brief = dict(blocks=1, block_seconds=0, pause=0)
    monkeypatch.setattr(
        machine, "time_in_turn", lambda calls, *_, **__: time_in_turn(calls, **brief)
    )
    monkeypatch.setattr(
        savings, "blocks_in_turn", lambda calls, *_, **__: blocks_in_turn(calls, **brief)
    )
    monkeypatch.setattr(machine, "SQUARES", (64, 128, 256))


@pytest.mark.parametrize(
    ("name", "query", "move"),
    [
        ("start", {"balance": "20"}, lambda page: page.slider(key="balance").set_value(40)),
        ("routers", {}, lambda page: page.slider(key="k_topk_a").set_value(3)),
        ("cure", {}, lambda page: page.select_slider(key="rate").set_value(0.01)),
        (
            "savings",
            {"model": "64", "width": "64"},
            lambda page: page.slider(key="experts").set_value(17),
        ),
    ],
)
def test_a_slider_sends_new_data_to_the_same_charts(name: str, query: dict, move) -> None:
    """A browser draws a chart anew, which takes far longer, if its spec or alt text changes."""

    def same() -> list[tuple[str, str]]:
        return [(c.proto.spec, c.proto.alt) for c in page.get("vega_lite_chart")]

    def data() -> list[list[bytes]]:
        return [[d.data.data for d in c.proto.datasets] for c in page.get("vega_lite_chart")]

    page = open_page(name, **query)
    before, rows, told = same(), data(), spoken(page)
    assert len(told) == len(before)
    move(page).run()
    assert same() == before
    assert data() != rows and spoken(page) != told


def test_the_app_opens_on_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemapi, "DEBUG_MODE", True)  # other tests go on checking charts
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    assert not page.exception and page.title[0].value == "What does a mixture of experts do?"
    assert not schemapi.DEBUG_MODE


def test_start_tells_its_story_without_a_click_and_the_slider_mends_it() -> None:
    page = open_page("start")
    assert not page.exception and not page.error
    routing = route(ready_model(), DEFAULT_SENTENCE)
    load_E = np.bincount(routing.expert_NK.reshape(-1), minlength=8)  # counted another way
    top_two = np.sort(load_E)[-2:].sum() / load_E.sum()
    assert top_two > 0.5 and (load_E == 0).any()
    assert f"do {top_two:.0%} of the work" in words(page)
    page.slider(key="balance").set_value(FULL).run()
    assert "none is idle" in words(page) and not page.exception


def test_each_step_of_the_balancing_slider_spreads_the_work() -> None:
    model = ready_model()
    shares, held_back = [], []
    for percent in range(0, FULL + 1, TENTH):
        routing = route(model, DEFAULT_SENTENCE, percent)
        chosen = routing.expert_NK.reshape(-1)
        load_E = np.bincount(chosen, minlength=8)  # counted another way
        shares.append(np.sort(load_E)[-2:].sum())
        held_back.append(model.bias_E[chosen].sum(dtype=float))
    assert all(np.diff(shares) < 0) and shares[-1] < 0.5 * shares[0]
    assert all(np.diff(held_back) >= -1e-6)


@pytest.mark.parametrize("sentence", ["Hello world", "aaaa", "日本語", "import numpy as np"])
def test_more_bonus_never_means_more_work_for_those_it_holds_back(sentence: str) -> None:
    model = ready_model()
    weighted = [
        model.bias_E[route(model, sentence, percent).expert_NK].sum(dtype=float)
        for percent in range(FULL + 1)
    ]
    assert all(np.diff(weighted) >= -1e-6)


def test_start_numbers_are_the_layers_own() -> None:
    model = ready_model()
    story = explain(model, DEFAULT_SENTENCE, 10)
    _, window_NC = sentence_windows(model.trainer, DEFAULT_SENTENCE)
    x_ND = model.trainer.embed(window_NC[10:11])
    y_ND, ctx = model.trainer.layer.forward(x_ND)
    assert np.allclose(story.combined_D, y_ND[0])
    by_hand_D = (story.weight_K[:, None] * story.output_KD).sum(axis=0)
    assert np.allclose(by_hand_D, y_ND[0], atol=1e-6)
    exp_E = np.exp(story.logits_E - story.logits_E.max())
    assert np.allclose(story.scores_E, exp_E / exp_E.sum(), atol=1e-6)
    assert story.expert_K.tolist() == np.argsort(-story.logits_E)[:2].tolist()
    d, f, e = 64, 64, 8
    assert story.executed_flops == 2 * 6 * d * f + 2 * d * e == ctx.executed_flops
    assert story.all_flops == e * 6 * d * f + 2 * d * e


@pytest.mark.parametrize(
    "sentence",
    ["", "<script>alert(1)</script>", "\\", "日本語" * 100, "$x^2$ **bold**", "a" * 400],
)
@pytest.mark.parametrize("name", ["start", "routers"])
def test_a_page_survives_any_sentence(name: str, sentence: str) -> None:
    page = open_page(name)
    n_charts = len(specs(page))
    page.text_input(key="text").set_value(sentence).run()
    assert not page.exception and not page.error and len(specs(page)) == n_charts
    fits = 0 < len(sentence.encode()) <= MAX_SENTENCE
    assert [warning.value for warning in page.warning] == (
        [] if fits else [shown_sentence(sentence)[1]]
    )


def test_a_sentence_that_cannot_be_shown_is_replaced_in_a_visitors_words() -> None:
    assert shown_sentence("Hello") == ("Hello", "")
    shown, said = shown_sentence("")
    assert shown == DEFAULT_SENTENCE and said.startswith("Type at least one letter.")
    shown, said = shown_sentence("語" * 150)
    assert shown == "語" * 133 and "first 133 of its 150 characters" in said


@pytest.mark.parametrize("query", [{"balance": "9999"}, {"character": "x"}, {"balance": "-1"}])
def test_a_bad_link_falls_back_to_what_is_allowed(query: dict[str, str]) -> None:
    page = open_page("start", **query)
    assert not page.exception
    assert page.slider(key="balance").value == 0


def test_a_link_carries_the_controls() -> None:
    page = open_page("start", balance="30", text="Hello")
    assert page.slider(key="balance").value == 30
    assert page.text_input(key="text").value == "Hello"


def test_balance_compares_two_runs_and_can_hide_them_until_a_guess() -> None:
    page = open_page("balance", steps="50")
    assert not page.exception and "spread the work more evenly" in words(page)
    assert len(specs(page)) == 5
    shown = page.title[0].value + words(page)
    assert "a few experts" in shown and "predicts better" in shown
    page = open_page("balance", steps="50", predict="true")
    for _ in range(2):
        assert not specs(page) and "metric" not in page
        told = page.title[0].value + words(page)
        for answer in ("few experts", "fall idle", "evenly", "predict", "win"):
            assert answer not in told
        page.button[0].click().run()  # without a guess, which is no guess of zero
        assert page.error[0].value == "Type a number first."
    page.number_input(key="guess").set_value(10.0)
    page.button[0].click().run()
    assert not page.exception and not page.error
    assert specs(page) and page.metric[0].value == "10%"
    took = float(page.metric[1].value.rstrip("%"))
    assert page.metric[1].delta == f"{took - 10:+.1f} points"
    assert "a few experts" in page.title[0].value and "What you should see" in words(page)


def test_the_setup_is_told_as_it_is() -> None:
    a, b = moe.TrainSettings(), moe.TrainSettings(balance="pi", router="switch")
    told = setup_words(a, b)
    assert "guess the next character, from" in told
    assert f"A: {moe.BALANCERS['none'].title}. " in told
    assert f"B: {moe.BALANCERS['pi'].title}, {moe.ROUTERS['switch'].title}." in told
    assert "next character of your own text, from" in setup_words(a, b, own_text=True)
    moons = moe.TrainSettings(task="moons")
    assert "points of the plane (the task 'moons')" in setup_words(moons, moons)


def test_balance_says_what_came_out_and_not_what_should(monkeypatch: pytest.MonkeyPatch) -> None:
    from moe.app.balance import page as view

    page = open_page("balance", steps="50")
    assert view.WHY in words(page)
    page.selectbox(key="balance_a").set_value("aux").run()
    said = words(page)
    a, b = (moe.TrainSettings(steps=50, balance=name) for name in ("aux", "bias"))
    (run_a,), (run_b,) = ([at.run for at in run_slot(one).progress() if at.run] for one in (a, b))
    assert f"**What you should see:** {compare(run_a, run_b).words}" in said
    assert view.WHY not in said and "does nothing" not in said
    assert f"A: {moe.BALANCERS['aux'].title}. B: {moe.BALANCERS['bias'].title}." in said


@pytest.mark.parametrize(
    ("a", "b", "winner"), [(2.0, 1.9, "B predicts better"), (1.9, 2.0, "A predicts better"),
                           (2.0, 2.001, "They predict about equally well")],
)  # fmt: skip
def test_who_predicts_better_is_read_from_the_runs(
    two_runs: list, a: float, b: float, winner: str
) -> None:
    runs = [replace(one, held_out_loss=loss) for one, loss in zip(two_runs, (a, b), strict=True)]
    assert f"{winner} (held-out loss: A {a:.3f}, B {b:.3f}" in compare(*runs).words


def test_balance_shows_an_impossible_choice_beside_the_control() -> None:
    page = open_page("balance", steps="50", router_a="noisy_topk", balance_a="bias")
    assert not page.exception
    assert "balance: got 'bias' with router 'noisy_topk'" in page.error[0].value
    inside = [error.value for expander in page.expander for error in expander.error]
    assert not inside  # where nobody would see it who came by a link


def test_routers_shows_who_changes_its_mind_without_a_click() -> None:
    page = open_page("routers")
    assert not page.exception and not page.error and len(specs(page)) == 4
    model = ready_model()
    a_NE, b_NE = (
        put_side_by_side(model, DEFAULT_SENTENCE, SideSettings(b=Choice(name))).b.weight_NE > 0
        for name in ("topk", "expert_choice")
    )
    changed = sum(set(np.flatnonzero(a)) != set(np.flatnonzero(b)) for a, b in zip(a_NE, b_NE))
    assert changed > 100
    assert f"{changed} of {len(DEFAULT_SENTENCE)} characters go to other experts" in words(page)
    page.selectbox(key="b").set_value("Top-k token choice").run()
    assert "Both do just the same" in words(page)


def test_every_router_of_the_registry_is_in_the_menu_and_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Mine(moe.ROUTERS["topk"]):
        name, title, formula = "mine", "My own router", r"y = \\sum_i g_i f_i(x)"

    monkeypatch.setitem(moe.ROUTERS, "mine", Mine)
    page = open_page("routers", limited="true", noise="true")
    titles = page.selectbox(key="b").options
    assert titles == [router.title for router in moe.ROUTERS.values()]
    for title in titles:
        page.selectbox(key="b").set_value(title).run()
        assert not page.exception and not page.error, title
        assert "characters" in words(page)
    assert page.get("latex") or Mine.formula in words(page)


@pytest.mark.parametrize(
    "query",
    [{"b": "Nobody"}, {"k_topk_a": "99"}, {"room": "x"}, {"seed": "-1"}, {"drop": "by chance"}],
)
def test_routers_ignores_a_bad_link(query: dict[str, str]) -> None:
    page = open_page("routers", **query)
    assert not page.exception and not page.error
    assert page.selectbox(key="b").value == "Expert choice"
    assert page.slider(key="k_topk_a").value == 2


def test_routers_takes_a_good_link_and_shows_what_is_dropped() -> None:
    page = open_page("routers", b="Switch (top-1)", k_topk_a="3", limited="true", text="Hello")
    assert page.slider(key="k_topk_a").value == 3
    settings = SideSettings(Choice("topk", (("k", 3),)), Choice("switch"), room=1.0)
    both = put_side_by_side(ready_model(), "Hello", settings)
    assert both.a.dropped and f"A drops {both.a.dropped} choices." in words(page)


def test_cure_shows_slow_best_and_swinging_without_a_click() -> None:
    page = open_page("cure")
    assert not page.exception and not page.error and len(specs(page)) == 7
    assert judge(respond_all(0.001)).words in words(page)
    page.select_slider(key="rate").set_value(0.01).run()
    assert "Ten times the step never comes within 50% of the fair share" in words(page)
    assert "First to be even: Quantile" in words(page)


def test_cure_asks_before_it_shows() -> None:
    page = open_page("cure", predict="true")
    assert not specs(page) and "come to rest" not in words(page)
    page.button[0].click().run()
    assert "Choose one of the three" in page.error[0].value and not specs(page)
    page.radio[0].set_value("swings")
    page.button[0].click().run()
    assert "You were right. Ten times the step comes within 50%" in words(page) and specs(page)


@pytest.mark.parametrize("name", ["balance", "cure", "savings"])
def test_more_experts_per_token_than_there_are_means_all_of_them(name: str) -> None:
    small = {"steps": "50"} if name == "balance" else {"model": "64", "width": "64"}
    page = open_page(name, experts="4", k="8", **(small if name != "cure" else {}))
    assert not page.exception and not page.error and specs(page)
    said = "There are only 4 experts, so a token uses at most 4."
    assert said in [caption.value for caption in page.caption]
    assert "k=4" in page.code[0].value


def test_cure_ignores_a_bad_link() -> None:
    page = open_page("cure", rate="5", skew="x", experts="9999")
    assert not page.exception and not page.error
    assert page.select_slider(key="rate").value == 0.001
    assert page.slider(key="experts").value == 16


def test_cure_trains_with_every_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    from moe.app.cure import story

    monkeypatch.setattr(story, "SHORT", dict(steps=20, batch=64, d_model=16, d_expert=8))
    page = open_page("cure", live="true", rate="0.01")
    assert not page.exception and len(specs(page)) == 8
    assert "Most even at the end: " in words(page)
    assert "With none at all" in words(page) or "Each controller predicts better" in words(page)
    drawn = spoken(page)[-1]
    assert "Lines of 7 runs over 20 steps" in drawn and "Nothing ends at" in drawn


def measured() -> list[MeasuredCost]:
    runs = {MOE: [1e-3, 1e-3], TOTAL: [2e-3, 3e-3], ACTIVE: [4e-3, 3e-3]}
    return [MeasuredCost.of(name, 64, own, runs[MOE], 1.0) for name, own in runs.items()]


@pytest.fixture(scope="module")
def two_runs() -> list:
    small = dict(steps=60, batch=128, d_model=16, d_expert=16, n_experts=8)
    return [run(moe.TrainSettings(balance=name, **small)) for name in ("none", "bias")]


def test_run_summaries_are_means_of_the_last_steps(two_runs: list) -> None:
    for finished in two_runs:
        summary, last = finished.summary(), finished.records[-20:]
        assert summary.max_vio == pytest.approx(
            sum(max(r.proposed) / (sum(r.proposed) / 8) - 1 for r in last) / 20
        )
        assert summary.loss == pytest.approx(sum(r.loss for r in last) / 20)
    assert compare(*two_runs).rows[2]["A"] == f"{two_runs[0].summary().max_vio:.2f}"


def test_guesses_are_judged_fairly(two_runs: list) -> None:
    truth = 100 * two_runs[0].summary().hottest_share
    assert judge_guess(truth, two_runs[0].summary()).verdict == "Spot on."
    assert "more than" in judge_guess(truth - 10, two_runs[0].summary()).verdict
    assert "less than" in judge_guess(truth + 10, two_runs[0].summary()).verdict


def test_playback_holds_every_step(two_runs: list) -> None:
    import base64

    packed = playback(two_runs[0].records, two_runs[1].records)
    assert packed["steps"] == list(range(1, 61))  # as people count
    share = np.frombuffer(base64.b64decode(packed["runs"][0]["series"]["share"]), "<f4")
    load = two_runs[0].records[-1].load
    said = packed["runs"][0]["sentences"][-1]
    assert said.startswith("Step 60: ") and f"takes {load.max() / load.sum():.1%} (" in said
    assert "fair share 12.5%" in said
    assert np.allclose(share.reshape(60, 8)[-1], load / load.sum(), atol=1e-6)
    assert (
        json.dumps(packed)
        and packed["id"] == playback(two_runs[0].records, two_runs[1].records)["id"]
    )


def test_exports_are_json_with_settings_and_versions(two_runs: list) -> None:
    settings = SavingsSettings()
    machine = Machine(2, 1e11, 1e10)
    for raw in (
        start_share.document(ready_model(), "Hello", 2, 0),
        balance_share.document(*two_runs),
        savings_share.document(settings, count(settings), measured(), machine),
    ):
        document = json.loads(raw)
        assert document["moescope"] == moe.__version__ and "numpy" in document["versions"]


def test_the_code_that_a_page_shows_runs_and_gives_its_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exec(start_share.code(DEFAULT_SENTENCE, 0, 3), {})
    assert route(ready_model(), DEFAULT_SENTENCE, 0).words() in capsys.readouterr().out
    a = moe.TrainSettings(steps=30, batch=64, d_model=16, d_expert=8)
    b = moe.TrainSettings(steps=30, batch=64, d_model=16, d_expert=8, balance="bias")
    exec(balance_share.code(a, b), {})
    assert compare(run(a), run(b)).words in capsys.readouterr().out
    settings = SideSettings(Choice("topk", (("k", 3),)), Choice("sinkhorn"), room=1.0)
    exec(routers_share.code("Hello world", settings), {})
    both = put_side_by_side(ready_model(), "Hello world", settings)
    assert both.words() in capsys.readouterr().out
    few = ControlSettings(n_tokens=256, batches=50)
    exec(cure_share.code(0.01, few), {})
    assert judge(respond_all(0.01, few)).words in capsys.readouterr().out
    exec(savings_share.code(SavingsSettings(16, 16, 4, 2)).split("\nmeasured")[0], {})
    assert "CountedCost(layer='MoE'" in capsys.readouterr().out
    command = sharing.train_command(b)
    assert command.startswith("moe train") and "--balance bias" in command


def test_progress_counts_steps_from_one_to_all() -> None:
    slot = RunSlot(moe.TrainSettings(steps=50, batch=64, d_model=16, d_expert=8))
    said = [at.words for at in slot.progress()]
    assert [words.partition(",")[0] for words in said if words.startswith("step")] == [
        f"step {step} of 50" for step in (10, 20, 30, 40, 50)
    ]
