"""Two live runs on the plane: pictures as they are packed, and what a visitor may change."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest

from moe.app.play import plane_look as looks
from moe.app.play import plane_pair as subject
from moe.app.play.plane_look import COARSE, PIXELS, SIZE, look
from moe.app.play.plane_pair import Pair, planar
from moe.balance import BALANCERS
from moe.data.planar import PLANAR_TASKS
from moe.routers import ROUTERS
from moe.studies.territories import Territories
from moe.training import LiveRun, suits


def pair(a: str = "none", b: str = "aux", **options) -> Pair:
    options = {"task": "spirals", "router": "switch", "k": 1, "n_experts": 8} | options
    return Pair(planar(balance=a, **options), planar(balance=b, **options))


def unpacked(chunk: dict, n_experts: int = 8) -> list[list[dict[str, np.ndarray]]]:
    """Arrays of each frame and run."""
    raw = zlib.decompress(base64.b64decode(chunk["bytes"]))
    length = SIZE**2 + COARSE**2 + 4 * 6 * n_experts
    assert len(raw) == 2 * length * len(chunk["frames"])
    frames = []
    for frame in range(len(chunk["frames"])):
        runs = []
        for run in range(2):
            at = raw[(2 * frame + run) * length :][:length]
            numbers = np.frombuffer(at[SIZE**2 + COARSE**2 :], "<f4")
            work, slope, offset, bias, factor = np.split(
                numbers, np.cumsum([1, 2, 1, 1]) * n_experts
            )
            runs.append(
                {
                    "who": np.frombuffer(at[: SIZE**2], np.uint8),
                    "answer": np.frombuffer(at[SIZE**2 : SIZE**2 + COARSE**2], np.uint8),
                    "work": work, "slope": slope.reshape(-1, 2), "offset": offset,
                    "bias": bias, "factor": factor,
                }
            )  # fmt: skip
        frames.append(runs)
    return frames


def test_a_chunk_holds_what_both_models_say():
    both = pair(b="bias")
    both.chunk(0, False)
    chunk = both.chunk(6, geometry=True)
    assert [frame["step"] for frame in chunk["frames"]] == [2, 4, 6] and both.n_steps == 6
    for side, run in enumerate(both.runs):
        packed, frame = unpacked(chunk)[-1][side], chunk["frames"][-1]
        assert np.array_equal(packed["who"], run.route(PIXELS))
        maps = Territories.of(run.trainer)
        assert np.allclose(packed["slope"], maps.slope_2E.T, rtol=1e-6)
        assert np.allclose(packed["offset"], maps.offset_E, rtol=1e-6)
        assert frame["loss"][side] > 0 and frame["max_vio"][side] > 0
        assert f"0 of {SIZE**2:,} pixels differ" in frame["words"][side]
        assert len(frame["lines"][side]["cells"]) > 1
    assert chunk["frames"][-1]["maps"] == [
        {"score": "", "least": None}, {"score": "softmax", "least": None},
    ]  # fmt: skip
    assert packed["bias"].any() and not unpacked(chunk)[-1][0]["bias"].any()
    out = both.runs[0].trainer.predict(looks.COARSE_PIXELS)
    power = np.exp(out - out.max(axis=1, keepdims=True))
    answer = 255 * power[:, 1] / power.sum(axis=1)
    assert np.abs(unpacked(chunk)[-1][0]["answer"] - answer).max() <= 0.51


def test_the_same_settings_are_the_same_everywhere_and_the_same_seed_the_same_bits():
    chunk = pair(b="none").chunk(4, geometry=False)
    assert all("same everywhere" in frame["difference"] for frame in chunk["frames"])
    again = pair(b="none").chunk(4, geometry=False)
    assert again["bytes"] == chunk["bytes"] and again["frames"] == chunk["frames"]
    assert pair(b="none", seed=1).chunk(4, False)["bytes"] != chunk["bytes"]


def test_steps_have_bounds():
    both = pair(n_experts=4)
    assert len(both.chunk(10**9, False)["frames"]) == subject.MOST_AHEAD // subject.STRIDE
    assert [frame["step"] for frame in both.chunk(1, False)["frames"]] == [25]
    with pytest.raises(ValueError, match="steps: got -1"):
        both.chunk(-1, False)


def test_an_end_is_an_end(monkeypatch):
    monkeypatch.setattr(subject, "LAST_STEP", 3)
    both = pair(n_experts=4)
    assert [frame["step"] for frame in both.chunk(8, False)["frames"]] == [2, 3]
    assert [frame["step"] for frame in both.chunk(8, False)["frames"]] == [3]


def test_a_dragged_vector_is_in_the_recipe_and_the_run_goes_on():
    both = pair()
    both.chunk(4, False)
    both.move(1, 2, [3.0, -1.0], 0.5)
    maps = Territories.of(both.runs[1].trainer)
    assert np.allclose(maps.slope_2E[:, 2], [3, -1]) and maps.offset_E[2] == pytest.approx(0.5)
    later = unpacked(both.chunk(4, False))[-1][1]["who"]
    recipe = both.runs[1].recipe
    assert [(step, control) for step, control, _ in recipe.changes] == [(4, "vector")]
    assert not both.runs[0].recipe.changes
    assert np.array_equal(LiveRun.replay(recipe, 8).route(PIXELS), later)


@pytest.mark.parametrize(
    ("move", "named"),
    [
        ((2, 0, [0, 0], 0), "run: got 2"),
        ((0, 8, [0, 0], 0), "expert: got 8"),
        ((0, "A", [0, 0], 0), "expert"),
        ((0, 0, [0, float("nan")], 0), "slope: got nan"),
        ((0, 0, [0, 1e9], 0), "slope"),
        ((0, 0, [0], 0), "slope"),
        ((0, 0, "12", 0), "slope"),
        ((0, 0, None, 0), "slope"),
        ((0, 0, [0, 0], "x"), "offset"),
    ],
)
def test_a_move_from_outside_is_checked(move, named):
    both = pair()
    with pytest.raises(ValueError, match=named):
        both.move(*move)
    assert not both.runs[0].recipe.changes


def test_where_the_point_alone_does_not_decide_nothing_can_be_moved():
    both = pair("none", "none", router="sinkhorn")
    assert both.drags() == [False, False]
    with pytest.raises(ValueError, match="router: got 'sinkhorn'"):
        both.move(0, 0, [0, 0], 0)
    frame = both.chunk(2, geometry=True)["frames"][0]
    assert frame["lines"] == frame["maps"] == [None, None]


def test_batches_of_pixels_are_samples_of_the_whole_plane():
    run = pair("none", "none", router="sinkhorn").runs[0]
    parts = looks._batches(run, PIXELS)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(SIZE**2))
    for part in parts:
        assert len(part) == 512
        assert np.abs(PIXELS[part].mean(axis=0)).max() < 0.3  # of a plane 5.2 wide
        assert np.abs(PIXELS[part].std(axis=0) / PIXELS.std(axis=0) - 1).max() < 0.15
    assert np.bincount(looks._answerers(run, PIXELS), minlength=8).min() > 0.9 * SIZE**2 / 8 / 2


def test_balancing_changes_in_the_run():
    both = pair()
    both.chunk(4, False)
    both.balance(0, "aux")
    both.balance(1, "aux")  # as it is
    assert [len(run.recipe.changes) for run in both.runs] == [1, 0]
    assert both.n_steps == 4
    anew = both.anew()
    assert anew.n_steps == 0 and anew.id != both.id
    assert [run.controls.settings.balance for run in anew.runs] == ["aux", "aux"]
    with pytest.raises(ValueError, match="balance"):
        both.balance(0, "l1")


def test_what_the_browser_kept_brings_a_run_back_to_the_bit():
    both = pair()
    both.chunk(4, False)
    both.move(1, 2, [3.0, -1.0], 0.5)
    both.chunk(3, False)
    both.balance(0, "bias")
    last = both.chunk(4, False)
    kept = json.loads(json.dumps(both.recipe() | {"step": both.n_steps}))
    fresh = pair()  # of a server that was started anew
    assert fresh.recipe()["of"] == kept["of"] != pair(seed=1).recipe()["of"]
    again = fresh.resumed(kept)
    assert again.n_steps == 11 and again.recipe() == both.recipe()
    assert again.chunk(0, False)["frames"][0] == last["frames"][-1]
    assert again.chunk(8, False)["bytes"] == both.chunk(8, False)["bytes"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"step": 10**6}, "step"),
        ({"step": "x"}, "step"),
        ({"balance": "none"}, "resume"),
        ({"balance": ["none", "l1"]}, "balance"),
        ({"balance": ["none", ["aux"]]}, "balance"),
        ({"changes": [[], [[1, "off", [0]]]]}, "control"),
        ({"changes": [[], [[9, "balance", "aux"]]]}, "step"),
        ({"changes": [[], [[0, "balance"]]]}, "changes"),
        ({"changes": [[], "abc"]}, "changes"),
        ({"changes": [[], [[0, "vector", [0, "abc"]]]]}, "vector"),
    ],
)
def test_what_no_browser_kept_is_refused(wrong, named):
    with pytest.raises(ValueError, match=named):
        pair().resumed(pair().recipe() | {"step": 2} | wrong)
    with pytest.raises(ValueError, match="resume"):
        pair().resumed("abc")


PAIRS = [(router, balance) for router in ROUTERS for balance in BALANCERS if suits(balance, router)]


@pytest.mark.parametrize("router", ROUTERS)
def test_every_router_with_every_balancing_that_suits_it(router):
    for balance in [balance for name, balance in PAIRS if name == router]:
        run = LiveRun(planar(task="moons", router=router, k=2, n_experts=8, balance=balance))
        for _ in range(3):
            record = run.step()
        seen = look(run, record, geometry=True)
        assert np.isfinite(record.loss) and seen.share_E.sum() > 0.5, balance
        assert (seen.territories is None) == (seen.differ is None)
        assert not seen.differ, balance  # the layer's own choice, pixel by pixel
    lines = {"hash", "dynmoe", "soft", "expert_choice", "base", "sinkhorn", "null_experts"}
    assert (seen.territories is None) == (router in lines)


@pytest.mark.parametrize("task", PLANAR_TASKS)
def test_every_task_has_points_and_answers(task):
    both = pair(task=task)
    about, chunk = both.about(), both.chunk(2, False)
    assert len(about["points"]) == looks.N_POINTS
    inside = [max(abs(x), abs(y)) < looks.BOX[2] for x, y, _ in about["points"]]
    assert np.mean(inside) >= (0.98 if task == "linear_maps" else 1)
    answer = unpacked(chunk)[0][0]["answer"]
    assert answer.max() > answer.min()
    assert ("points are right" in chunk["frames"][0]["words"][0]) == about["classes"]


def test_letters_have_colours_up_to_eight():
    assert pair().about()["colours"][0].startswith("#")
    many = pair(n_experts=16).about()
    assert many["colours"] is None and many["names"][-1] == "P"
