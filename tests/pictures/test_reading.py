"""What one reads a figure by beside its marks: axes, keys, comparison lines, words on hovering.

Rules that all figures keep, and a table of what each axis is: logarithmic, from zero, from the top
down, up to where, with which numbers beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from moe.app.balance import chart as balance
from moe.app.cure import chart as cure
from tests.pictures import records
from tests.pictures.spec import _views
from tests.pictures.table import TABLE, Shown

MAKERS = {make.__name__: make for makers in TABLE.values() for make in makers}
SINGLE = {name: make for name, make in MAKERS.items() if "_on_a_sheet" not in name}
# What people hover over, and what they are told: field, title, format.
PLACE = "position, character, "
EXPERT_RATIO = "expert, ratio|fair shares|.2f"
BUSIEST = "|busiest expert above fair share|"
UPDATE = "update|updates by rewards"
OVER_STEPS = "run, step||.0f, value|{}|.3f"
HOVER = {
    "one_measure": [OVER_STEPS.format("Busiest expert")],
    "a_share_over_steps": [OVER_STEPS.format("Turned away")],
    "idle_experts_over_steps": [OVER_STEPS.format("Idle experts")],
    "lines_of_controllers": [f"step||,.0f, mean{BUSIEST}+.1%"],
    "loads_of_two_steps": ["expert, load|last step, fair shares|.2f, before|step before|.2f"],
    "lines_of_live_runs": [f"step||.0f, value{BUSIEST}+.0%"],
    "tokens_by_experts": ["token, expert, weight||.3f, fate"],
    "with_and_without": [OVER_STEPS.format("MaxVio"), OVER_STEPS.format("Experts that compute")],
    "map_of_a_real_model": ["row| , " + EXPERT_RATIO],
    "the_busiest_experts_of_three_models": ["model, text, times||.2f"],
    "models_stored_and_used": [
        "model, total|total, computed|,.3~f, published_total|total, published|,.3~f, "
        "active|active, computed|,.3~f, published_active|active, published|,.3~f, "
        "kind|your machine"
    ],
    "bounds_by_batch": ["batch|conversations, limit|limit by, speed|tokens/s|,.2~s, fits|memory"],
    "the_cluster": ["node, link, mb|megabytes|,.0f", "node, gpu, ratio|fair shares|.2f"],
    "shares_of_one_step": ["expert, share|share of the work|.1%"],
    "who_took_each_character": ["who, character, expert"],
    "from_node_to_node": ["from, to, link, mb|megabytes|,.1f"],
    "work_before_and_after": ["placed|experts, gpu|GPU, ratio|fair shares|.2f"],
    "the_first_characters": ["weight||.2f"],
    "the_first_characters_before_a_guess": ["weight||.2f"],
    "who_changes_its_mind": [PLACE + "A, B"],
    "loads_of_two_routers": [
        "run, expert, share|share of the work|.1%, asked|asked for|.1%"
    ],
    "choices_of_one_router": [PLACE + "experts"],
    "shares_of_the_work": ["expert, share|share of the work|.1%, assignments|characters"],
    "measured_speeds": [
        "versus, n_tokens|tokens, times|times as fast|.2f, least|worst run|.2f, "
        "most|best run|.2f, milliseconds|the other's milliseconds|.3~g"
    ],
    "weights_read_by_a_batch": [
        "n_tokens|tokens|,, share|of the weights|.0%, megabytes||.3~g"
    ],
    "groups_in_rows": ["group, mean||.5g"],
    "groups_as_curves": ["group, at|lr, mean"],
    "a_curve_for_each_balancer": [
        "balancer, strength||~g, max_vio|MaxVio|.2f, loss|held-out loss|.3f"
    ],
    "bits_over_time": ["model, steps, seconds||.1f, bits||.3f"],
    "how_busy_each_expert_is": [EXPERT_RATIO],
    "layers_by_experts": ["row| , " + EXPERT_RATIO],
    "lines_over_layers": ["line| , layer, value||.1%"],
    "experts_that_work_together": [
        "first|tokens of expert, expert|also go to, share||.1%"
    ],
    "shares_over_updates": [f"what, {UPDATE}, value|share|.1%"],
    "length_over_updates": [f"{UPDATE}, signs|signs|.2f"],
    "starts_over_updates": [f"start, {UPDATE}, value|share|.1%"],
    "bits_over_steps": ["model, step, bits||.3f"],
    "bits_at_the_first_look": ["model, step, bits||.3f"],
    "experts_of_letters": ["letter, expert"] * 3,  # the tile and both of its texts
    "loads_of_a_layer": [EXPERT_RATIO],
    "bits_of_a_run_that_goes_on": ["of, step, bits||.3f"],
    "students_over_steps": ["student, seed, step, bits||.3f"],
    "students_at_their_first_look": ["student, seed, step, bits||.3f"],
    "bits_that_a_teacher_saves": ["seed, gain|bits saved|+.3f"],
    "who_is_there": ["name, part, to|up to|.1%"],
    "rates_by_room": ["name, slots, rate||.1%"],
    "the_law_and_its_runs": [
        "way|trained with, experts, used, stored, loss||.3f", "model, used, loss||.3f"
    ],
    "ordinary_models_beside": ["model, quantity, times||.3~g"],
}  # fmt: skip
# Lines that one compares with, by their data: the fair share and other goals have long dashes.
GOALS = {"fair", "fair_A", "fair_B", "goal", "chance", "limit", "dense", "repetition_chance",
         "levels", "even", "teacher", "nothing", "ordinary"}  # fmt: skip
DASHES = dict.fromkeys(GOALS, (6, 4)) | {"chosen": (2, 3)}
# Each axis in words. 'room' is somewhat beyond the largest number that is drawn.
STAFF = ("hidden, 0 to 39", "0 to 20, down, 8 values a line, no ticks, no domain, grid")
EXPERT_BAR = ("hidden, from zero", "no ticks, no domain")
NAMED_BAR = ("hidden, from zero", "hidden")
STEPS, QUARTERS = "4 ticks, no grid", "4 ticks"
AXES: dict[str, tuple[str, str]] = {
    "one_measure": (STEPS, f"from zero, {QUARTERS}"),
    "a_share_over_steps": (STEPS, f"from zero, {QUARTERS}"),
    "idle_experts_over_steps": (STEPS, f"from zero, {QUARTERS}"),
    "loads_at_the_end": ("", QUARTERS),
    "shares_of_the_machine": ("0 to 1, 5 ticks, top", "no ticks, no domain, grid"),
    "lines_of_controllers": (f"1 to 41, {STEPS}", "above 0, 5 ticks"),
    "loads_of_two_steps": ("no ticks, no labels", f"0 to 4, {QUARTERS}"),
    "lines_of_live_runs": (f"0 to 150, {STEPS}", "above 0, 5 ticks"),
    "with_and_without": (STEPS, f"from zero, {QUARTERS}"),
    "map_of_a_real_model": (
        "0 to 63, no ticks, no labels",
        "0 to 26, down, a value a row, no ticks, no domain, no grid",
    ),
    "the_expert_that_nearly_all_choose": (
        "0 to room, at 0 0.25 0.5 0.75 1, no grid", "no ticks, no domain",
    ),
    "the_busiest_experts_of_three_models": ("0 to 12, 6 ticks", "hidden"),
    "models_stored_and_used": (
        "log, 1 to 2500, at 1 3 10 30 100 300 1000",
        "log, 0.3 to 700, at 0.3 1 3 10 30 100 300 1000",
    ),
    "speeds_of_models": ("hidden, 0 to 1000", "hidden, 0 to 57"),
    "bounds_by_batch": ("log, 1 to 1024, at 1 4 16 64 256 1024, no grid", "log, 5 ticks"),
    "parts_of_the_published_cost": NAMED_BAR,
    "squares_to_scale": ("hidden, 0 to 40000", "hidden, 0 to 40000"),
    "squares_of_the_runs": ("hidden, 0 to room", "hidden, 0 to room"),
    "what_it_would_cost": (
        "log, 805646 to 2.09461e+08, at 10000 100000 1e+06 1e+07 1e+08 1e+09 1e+10 1e+11, no grid",
        "",
    ),
    "one_assumption_at_a_time": NAMED_BAR,
    "computed_beside_published": (
        "log, 500000 to 1e+09, at 1e+06 1e+07 1e+08, no grid", "hidden",
    ),
    "ways_of_counting": NAMED_BAR,
    "limits_of_two_chips": NAMED_BAR,
    "the_cluster": (
        "0 to 2, at 0.5 1.5, top, no ticks, no domain, no grid",
        "0 to room, down, a value a row, no ticks, no domain, no grid",
    ),
    "from_node_to_node": ("top, no ticks", "no ticks"),
    "placed_for_another_task": ("top, no ticks", "no ticks"),
    "who_is_there": ("0 to 1.2, at 0 0.25 0.5 0.75 1, no grid", "hidden"),
    "rates_by_room": ("0 to 64, at 4 8 12 16 24 32 48 64, no grid", f"0 to 1, {QUARTERS}"),
    "tokens_a_second": ("hidden", "no ticks, no domain"),
    "ways_of_sending": ("hidden, 0 to room", "hidden"),
    "time_within_each_limit": ("0 to room, 4 ticks", "no ticks, no domain"),
    "shares_of_one_step": ("no ticks, no domain", QUARTERS),
    "who_took_each_character": ("hidden", "no ticks, no domain"),
    "links_of_two_gpus": ("hidden, 0 to room", "hidden"),
    "work_before_and_after": ("no grid", QUARTERS),
    "the_first_characters": ("hidden, 0 to 8", "hidden, 0 to 3"),
    "the_first_characters_before_a_guess": ("hidden, 0 to 8", "hidden, 0 to 3"),
    "who_changes_its_mind": STAFF,
    "loads_of_two_routers": ("", QUARTERS),
    "choices_of_one_router": STAFF,
    "shares_of_the_work": ("", "0 to room, at 0 0.12 0.25"),
    **dict.fromkeys(("weights_stored", "operations_of_a_token"), EXPERT_BAR),
    "guesses_of_a_class": NAMED_BAR,
    "measured_speeds": ("", "log, 0.062 to 16, at 0.12 0.25 0.5 1 2 4 8"),
    "weights_read_by_a_batch": (
        "log, 1 to 4096, at 1 4 16 64 256 1024 4096, no grid", "0 to room, at 0 0.25 0.5 0.75 1",
    ),
    "groups_in_rows": ("not from zero", "no ticks, no domain, grid"),
    "groups_as_curves": ("log, at 0.01 0.1 1, no grid", "not from zero"),
    "a_curve_for_each_balancer": ("log, at 0.2 0.3 0.5 1 2 4 7, no grid", "not from zero"),
    "bits_over_time": ("log, at 2 5 10 20 50, no grid", "not from zero"),
    "how_busy_each_expert_is": ("0 to 7, no ticks", QUARTERS),
    "layers_by_experts": (
        "0 to 7, no ticks, no labels", "0 to 3, down, a value a row, no ticks, no domain, no grid",
    ),
    "lines_over_layers": ("1 to 3", f"from zero, {QUARTERS}"),
    "bars_of_one_layer": ("hidden, 0 to room", "2 names, no ticks, no domain"),
    "experts_that_work_together": ("0 to 7, no ticks", "0 to 7, no ticks, no domain"),
    "loads_of_devices": ("0 to room, 4 ticks", "no ticks, no domain"),
    "shares_over_updates": (f"0 to 5, {STEPS}", f"0 to 1, {QUARTERS}"),
    "length_over_updates": (f"0 to 5, {STEPS}", "0 to 11, 3 ticks"),
    "answers_sign_by_sign": ("hidden, 0 to 17", "hidden, 1 to 8"),
    "starts_over_updates": (f"0 to 1, {STEPS}", f"0 to 1, {QUARTERS}"),
    **dict.fromkeys(
        ("bits_over_steps", "bits_at_the_first_look"), (f"0 to 20, {STEPS}", "2.25 to 5, 5 ticks"),
    ),
    "experts_of_letters": ("hidden, 0 to 31", "hidden, 0 to 1"),
    "loads_of_a_layer": ("", "0 to 3, 3 ticks"),
    "bits_of_a_run_that_goes_on": (f"0 to 100, {STEPS}", "1.5 to 5, 5 ticks"),
    **dict.fromkeys(
        ("students_over_steps", "students_at_their_first_look"),
        (f"0 to 20, {STEPS}", "2 to 4.5, 5 ticks"),
    ),
    "bits_that_a_teacher_saves": ("5 ticks, no grid", "no ticks, no domain"),
    "the_law_and_its_runs": (
        "log, 1e+07 to 3e+11, at 1e+07 1e+08 1e+09 1e+10 1e+11, no grid", "1.4 to 3.3, 4 ticks",
    ),
    "ordinary_models_beside": (
        "log, 0.0039 to 256, at 0.016 0.062 0.25 1 4 16 64, no grid", "no ticks, no domain, grid",
    ),
}  # fmt: skip
COLOURS = re.compile(r"#[0-9A-F]{6}$|white$|transparent$")
PALETTE = {
    "#1F7DC3", "#868E99", "#B27655", "#DE6210", "#12906C", "#0E1621", "#FFFFFF", "#B0509A",
    "#0072B2", "#D55E00", "#009E73", "#56606B", "#A2558A", "#8A6D00", "#000000", "#4D5866",
}  # fmt: skip


@cache
def shown(name: str) -> Shown:
    return MAKERS[name]()


@cache
def views(name: str) -> tuple[tuple[dict, str, dict], ...]:
    """Every mark of a figure: its view, the name of its data, and its channels."""
    return tuple(_views(shown(name).figure.spec()))


def drawn_on(name: str, axis: str) -> np.ndarray:
    """All numbers that a figure draws along an axis."""
    data = shown(name).figure.data
    values = [
        row[channel["field"]]
        for _, table, encoding in views(name)
        for key, channel in encoding.items()
        if key.rstrip("2") == axis and "field" in channel
        for row in data[table]
    ]
    return np.array([v for v in values if isinstance(v, int | float) and v == v], float)


def everything(spec: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value of a specification, its data left out."""
    if isinstance(spec, dict):
        for key, value in spec.items():
            if key != "datasets":
                yield key, value
                yield from everything(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from everything(value)


def number(value: float) -> str:
    return f"{value:g}" if value > 1 else f"{value:.2g}"


def in_words(name: str, axis: str) -> str:
    """What an axis is; that all marks agree on it is asserted on the way."""
    channels = [
        encoding[axis] for _, _, encoding in views(name) if "field" in encoding.get(axis, {})
    ]
    scales = {json.dumps(one["scale"], sort_keys=True) for one in channels if one.get("scale")}
    guides = {json.dumps(one["axis"], sort_keys=True) for one in channels if one.get("axis")}
    assert len(scales) <= 1 and len({re.sub('"title": [^,}]*', "", one) for one in guides}) <= 1
    scale = json.loads(scales.pop()) if scales else {}
    guide = json.loads(guides.pop()) if guides else {}
    told = []
    if not guide and any("axis" in one for one in channels):
        told.append("hidden")
    if scale.get("type") == "log":
        told.append("log")
        assert (drawn_on(name, axis) > 0).all()
    domain = scale.get("domain")
    if domain and isinstance(domain[0], str):
        told += [] if domain[0].isdigit() else [f"{len(domain)} names"]
        domain = [int(one) for one in domain] if domain[0].isdigit() else None
    if domain:
        low, high = min(domain), max(domain)
        most = drawn_on(name, axis).max(initial=0)
        assert scale.get("clamp") or most <= high or name == "models_stored_and_used"
        categories = channels[0]["type"] != "quantitative"
        fixed = categories or (high == round(high, 1) and (name, axis) != ("the_cluster", "y"))
        within = most <= high <= 1.51 * max(most, 1e-9)
        told.append(f"{number(low)} to {number(high) if fixed or not within else 'room'}")
        if len(domain) > 2 and channels[0]["type"] != "quantitative":
            assert len(domain) == high - low + 1  # one place for each
    if "domainMin" in scale:
        told.append(f"above {scale['domainMin']:g}")
    if "zero" in scale:
        told.append("from zero" if scale["zero"] else "not from zero")
    if scale.get("reverse") or (domain and domain[0] > domain[-1]):
        told.append("down")
    values = guide.get("values")
    if values and len(values) > 8 and "labelExpr" in guide and len(values) % 8 == 0:
        told.append("8 values a line")
    elif values and "floor(" in guide.get("labelExpr", "") and axis == "y":
        assert values == [at + 0.5 for at in range(len(values))]
        told.append("a value a row")
    elif values:
        told.append("at " + " ".join(number(one) for one in values))
    told += [f"{guide['tickCount']} ticks"] if "tickCount" in guide else []
    told += ["top"] if guide.get("orient") == "top" else []
    for part in ("ticks", "labels", "domain"):
        told += [f"no {part}"] if guide.get(part) is False else []
    if "grid" in guide:
        told.append("grid" if guide["grid"] else "no grid")
    return ", ".join(told)


def test_every_figure_has_its_axes_in_the_table() -> None:
    assert set(SINGLE) - set(AXES) == {"tokens_by_experts"}  # of two parts, see below
    assert set(AXES) <= set(SINGLE)


@pytest.mark.parametrize("name", AXES)
def test_each_axis_is_what_the_table_says(name: str) -> None:
    assert (in_words(name, "x"), in_words(name, "y")) == AXES[name]


@pytest.mark.parametrize("name", SINGLE)
def test_hovering_tells_what_a_mark_is_and_how_much(name: str) -> None:
    told = []
    for _, _, encoding in views(name):
        parts = [
            "|".join((one["field"], one.get("title", ""), one.get("format", ""))).rstrip("|")
            for one in encoding.get("tooltip", ())
        ]
        told += [", ".join(parts)] if parts else []
    assert told == HOVER.get(name, [])


@pytest.mark.parametrize("name", MAKERS)
def test_what_all_figures_have_in_common(name: str) -> None:
    spec = shown(name).figure.spec()
    for key, value in everything(spec):
        if isinstance(value, str) and value.startswith("#"):
            assert value in PALETTE, (key, value)
        if key in ("color", "stroke", "fill") and isinstance(value, str) and value != "independent":
            assert COLOURS.match(value), (key, value)
        if key in ("nice", "aria", "ticks") or (key == "domain" and isinstance(value, bool)):
            assert value is False, key  # what is stated is other than what goes without saying
        if key in ("clamp", "reverse", "clip"):
            assert value is True, key
        if key in ("opacity", "gridOpacity", "fillOpacity", "symbolOpacity"):
            assert isinstance(value, dict) or 0 <= value <= 1, (key, value)
        if key == "title" and isinstance(value, str):
            assert value == " " or value == value.strip(" ~;:,."), value
        if key == "labelAngle":
            assert value == 0  # numbers of experts stand upright
        if key == "symbolType" and isinstance(value, str):
            assert value in ("stroke", "square")


@pytest.mark.parametrize("name", MAKERS)
def test_marks_are_seen_and_comparisons_are_dashed(name: str) -> None:
    for view, data, encoding in views(name):
        mark = view["mark"]
        dash = mark.get("strokeDash")
        if mark["type"] in ("rule", "line") and "strokeDash" not in encoding:
            assert (tuple(dash) if dash else None) == DASHES.get(data), data
        ends = {encoding.get(axis, {}).get("field") for axis in "xy"}
        hidden = data == "spots" or "room" in ends
        assert (mark.get("opacity", 1) == 0) == hidden, data
        # a colour that means something fills its point; crosses and rings are outlines
        if mark["type"] == "point" and not hidden:
            outlined = mark.get("filled", False) is False
            assert outlined == (not ({"color", "shape"} & set(encoding)) and data not in (
                "lost", "compared", "estimate", "sweep", "means")), data  # fmt: skip
        if mark["type"] == "bar":
            along = "x" if encoding["x"].get("type") == "quantitative" else "y"
            scale = encoding[along].get("scale") or {}
            ranges = data in ("compared", "estimate")  # bars between two ends, in powers of ten
            assert scale.get("zero", True) and (ranges or min(scale.get("domain", [0])) == 0)
        if mark["type"] == "text" and encoding.get("y", {}).get("axis", 0) is None:
            assert mark.get("align") in ("left", "right", "center")  # on purpose
        rows = encoding.get("y", {})
        if rows.get("type") == "nominal" and rows.get("axis", 0) is None:
            assert rows["sort"] is None  # in the order of the data


@pytest.mark.parametrize("name", MAKERS)
def test_a_scale_of_colours_has_a_key_unless_words_stand_beside_the_marks(name: str) -> None:
    directly = {
        "squares_to_scale", "squares_of_the_runs", "limits_of_two_chips", "links_of_two_gpus",
        "the_cluster", "both_money_charts_on_a_sheet", "weights_stored", "operations_of_a_token",
        "lines_of_controllers", "lines_of_live_runs", "shares_of_the_work", "tokens_by_experts",
        "time_within_each_limit", "who_took_each_character", "the_first_characters",
        "the_first_characters_before_a_guess", "guesses_of_a_class", "experts_of_letters",
    }  # fmt: skip
    for _, _, encoding in views(name):
        for channel in ("color", "stroke", "fill", "shape", "strokeDash", "strokeWidth"):
            one = encoding.get(channel, {})
            if one.get("type") in ("nominal", "ordinal"):
                assert bool(one.get("legend")) == (name not in directly), (name, channel)
                if one.get("legend"):
                    assert one["legend"]["orient"] in ("top", "bottom")
            elif one.get("field") == "ratio" and name not in (
                "layers_by_experts", "map_of_a_real_model",
            ):  # fmt: skip
                assert one["legend"] is None or "your_model" in name  # the height says the same


def test_tokens_stand_over_experts_with_their_loads_beside_them() -> None:
    scales: dict[tuple[str, str], set[str]] = {}
    for view, data, encoding in views("tokens_by_experts"):
        for axis in "xy":
            scale = encoding.get(axis, {}).get("scale")
            if scale:
                scales.setdefault((data, axis), set()).add(json.dumps(scale["domain"]))
        guide = encoding.get("y", {}).get("axis")
        if guide:
            assert guide["values"] == [e + 0.5 for e in range(6)] and guide["grid"] is False
            assert guide["labels"] is (data == "marks")
        assert view["mark"]["aria"] is False
    most = shown("tokens_by_experts").figure.data["loads"]
    asked = max(int(row["label"].split()[-1]) for row in most)
    assert scales[("marks", "x")] == {"[0, 12]"} and scales[("marks", "y")] == {"[6, 0]"}
    assert scales[("loads", "y")] == {"[6, 0]"}
    (loads,), (fair,) = scales[("loads", "x")], scales[("fair", "x")]
    assert loads == fair and json.loads(loads) == [0, pytest.approx(1.35 * asked)]
    opacity = next(
        encoding["fillOpacity"]["scale"]
        for _, data, encoding in views("tokens_by_experts") if data == "marks"
    )  # fmt: skip
    assert dict(zip(opacity["domain"], opacity["range"])) == {"kept": 1, "dropped": 0}


@pytest.mark.parametrize("measure", balance.MEASURES)
def test_only_losses_do_not_begin_at_zero(measure: str) -> None:
    spec = balance.over_steps(*records.two_runs(), measure).spec()
    assert spec["encoding"]["y"]["scale"]["zero"] is (measure != "loss")


@pytest.mark.parametrize("log", [False, True])
def test_curves_of_controllers_are_drawn_on_linear_axes_or_on_logarithmic_ones(log: bool) -> None:
    names = ("a tenth", "your push", "ten times", "no push")
    few, runs = records.responses()[:3], records.live()
    for figure, first, last in (
        (cure.step_response(few, log=log), 1, 41), (cure.live(*runs, names, log), 0, 150),
    ):  # fmt: skip
        for _, _, encoding in _views(figure.spec()):
            scale, axis = encoding["y"]["scale"], encoding["y"]["axis"]
            assert scale["type"] == ("log" if log else "linear")
            assert scale["domainMin"] == (0.01 if log else 0) and scale["clamp"]
            assert ("values" in axis) == log and ("tickCount" in axis) != log
            if "x" in encoding:
                of_steps = encoding["x"]["scale"]
                assert of_steps["domain"] == [first, last]
                assert of_steps["type"] == ("log" if log and first else "linear")
        names_at = [row["place"] for row in figure.data["ends"]]
        heights = np.log(names_at) if log else np.array(names_at)
        span = np.log(figure.data["room"][0]["room"] / 0.01) if log and first else None
        if first:
            apart = np.diff(np.sort(heights)) / (span or figure.data["room"][0]["room"])
            assert apart.min() >= 18 / 270 - 1e-9  # so that no name covers another
