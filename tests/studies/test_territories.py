"""The plane's cells in closed form, against the layer's own choice, pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moe
from moe.studies import territories as subject
from moe.studies.territories import NOBODY, Territories, first_choices, grid, vector_for
from moe.training import Trainer, TrainSettings
from moe.training.live import LiveRun

BOX = (-2.5, -2.5, 2.5, 2.5)
SIDE = 400  # 160,000 pixels
SMALL = dict(d_model=16, d_expert=16, batch=256, n_experts=8)


def trainer(steps: int = 0, **options) -> Trainer:
    made = Trainer(TrainSettings(**{"task": "spirals"} | SMALL | options))
    for _ in range(steps):
        made.step()
    return made


def own_choice(made: Trainer, points: np.ndarray) -> np.ndarray:
    return first_choices(made.layer.route(made.embed(points)))


def inside(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points lie in a convex polygon whose corners go round to the left."""
    held = np.full(len(points), len(corners) > 0)
    for here, there in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        (u, v), (x, y) = there - here, (points - here).T
        held &= u * y - v * x >= 0
    return held


def area(corners: np.ndarray) -> float:
    x, y = corners.T if len(corners) else (np.zeros(1), np.zeros(1))
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("router", "balance"),
    [
        ("switch", "none"),
        ("topk", "aux"),
        ("topk", "bias"),
        ("deepseek_v3", "bias"),
        ("topk", "bias(form=multiplicative)"),
        ("relu", "l1"),
        ("expert_threshold", "cutoff_ema"),
    ],
)
def test_every_pixel_goes_where_the_layer_sends_it(router, balance, seed):
    points = grid(BOX, SIDE).astype(np.float32)
    made = trainer(router=router, balance=balance, seed=seed)
    for steps in (0, 80):
        for _ in range(steps):
            made.step()
        ours = Territories.of(made)
        assert len(points) == 160_000
        assert int((ours.choose(points) != own_choice(made, points)).sum()) == 0
        assert int((ours.margin(points) == 0).sum()) == 0  # no tie had to be left out
    assert ours.straight == (balance not in ("bias", "quantile"))
    moved = (ours.straightened().choose(points) != ours.choose(points)).any()
    assert moved == (not ours.straight)  # a factor on a softmax is a power diagram, a bias is none


@pytest.mark.parametrize("router", ["switch", "relu"])
def test_cells_are_the_pixels_and_cover_the_plane(router):
    made = trainer(steps=60, router=router, seed=1)
    ours, points = Territories.of(made), grid(BOX, SIDE)
    if router == "relu":  # lower, so that some points reach nobody's zero
        ours = replace(ours, offset_E=ours.offset_E - 2)
    cells, chosen = ours.cells(BOX), ours.choose(points)
    for expert, corners in enumerate(cells):
        assert int((inside(corners, points) != (chosen == expert)).sum()) == 0
    assert len({len(corners) for corners in cells}) > 1
    covered = sum(map(area, cells))
    if router == "switch":
        assert covered == pytest.approx(25.0, rel=1e-12)
    else:
        assert covered == pytest.approx(25.0 * (chosen != NOBODY).mean(), rel=2e-3)
        assert (chosen == NOBODY).any()


def test_logits_are_affine_in_the_point():
    made = trainer(steps=30, router="topk")
    points = grid(BOX, 20).astype(np.float32)
    routing = made.layer.route(made.embed(points))
    assert np.allclose(Territories.of(made).logits(points), routing.logits_NE, atol=1e-4)


def line_between(ours: Territories, a: int, b: int) -> tuple[np.ndarray, float]:
    """Normal of the border of two experts, and its distance from the origin."""
    normal = ours.slope_2E[:, a] - ours.slope_2E[:, b]
    return normal / np.hypot(*normal), (ours.offset_E[b] - ours.offset_E[a]) / np.hypot(*normal)


def test_a_head_start_moves_a_cells_borders_in_parallel():
    ours = Territories.of(trainer(steps=40, router="switch"))
    expert = int(np.bincount(ours.choose(grid(BOX, 50))).argmax())
    moved = ours.moved(expert, ours.slope_2E[:, expert], ours.offset_E[expert] + 0.3)

    def sides(cells: list[np.ndarray]) -> set[tuple[float, float]]:
        corners = cells[expert]
        edges = np.roll(corners, -1, axis=0) - corners
        return {tuple(np.round(e / np.hypot(*e), 6) + 0.0) for e in edges if np.hypot(*e) > 1e-9}

    axes = {(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)}  # of the box
    before, after = sides(ours.cells(BOX)) - axes, sides(moved.cells(BOX)) - axes
    assert before and before & after == after & before
    for direction in before | after:
        normals = [line_between(ours, expert, f)[0] for f in range(8) if f != expert]
        assert min(abs(np.dot(direction, normal)) for normal in normals) < 1e-5
    assert area(moved.cells(BOX)[expert]) > area(ours.cells(BOX)[expert])
    other = (expert + 1) % 8
    (normal, far), (same, farther) = (line_between(t, expert, other) for t in (ours, moved))
    gap = np.hypot(*(ours.slope_2E[:, expert] - ours.slope_2E[:, other]))
    assert np.allclose(normal, same) and far - farther == pytest.approx(0.3 / gap)


def test_a_cell_of_a_power_diagram_is_nearest_to_its_site():
    ours, points = Territories.of(trainer(router="topk", seed=2)), grid(BOX, 60)
    site_E2 = ours.slope_2E.T
    weight_E = (site_E2**2).sum(axis=1) + 2 * ours.offset_E
    power_NE = ((points[:, None] - site_E2) ** 2).sum(axis=2) - weight_E
    assert np.array_equal(power_NE.argmin(axis=1), ours.choose(points))


def test_collapse_is_one_cell_that_eats_the_plane():
    ours = Territories.of(trainer())
    alone = ours.moved(3, ours.slope_2E[:, 3], 1e3)
    areas = [area(corners) for corners in alone.cells(BOX)]
    assert areas[3] == pytest.approx(25) and sum(areas) == areas[3]


def test_a_factor_on_a_softmax_is_an_offset_and_a_bias_bends():
    ours, points = Territories.of(trainer()), grid(BOX, 100)
    factor_E = np.linspace(0.5, 2, 8)
    scaled = Territories(ours.slope_2E, ours.offset_E, select_factor_E=factor_E)
    assert scaled.straight
    assert np.array_equal(scaled.choose(points), scaled.straightened().choose(points))
    assert (scaled.choose(points) != ours.choose(points)).any()
    bent = Territories(ours.slope_2E, ours.offset_E, select_bias_E=np.linspace(0, 0.3, 8))
    assert not bent.straight
    assert (bent.choose(points) != bent.straightened().choose(points)).any()
    with pytest.raises(ValueError, match="select_bias_E"):
        bent.cells(BOX)


def test_of_equal_experts_the_first_answers():
    same = Territories(np.zeros((2, 3)), np.zeros(3))
    assert set(same.choose(grid(BOX, 5))) == {0}
    assert [len(corners) for corners in same.cells(BOX)] == [4, 0, 0]
    assert not same.margin(grid(BOX, 5)).any()
    alone = Territories(np.zeros((2, 1)), np.zeros(1))
    assert np.isinf(alone.margin(grid(BOX, 2))).all()


@pytest.mark.parametrize("router", ["switch", "deepseek_v3"])
def test_a_vector_for_a_slope_has_it_and_changes_nothing_else(router):
    run = LiveRun(TrainSettings(task="moons", router=router, **SMALL))
    run.step()
    before = Territories.of(run.trainer)
    vector_D = vector_for(run.trainer, 2, np.array([0.7, -1.2]), 0.4)
    change_D = vector_D - run.trainer.layer.params["gate_DE"][:, 2]
    inputs_3D = subject.input_map(run.trainer)
    in_span = inputs_3D.T @ np.linalg.lstsq(inputs_3D.T, change_D, rcond=None)[0]
    assert np.allclose(in_span, change_D, atol=1e-6)  # the nearest one leaves the rest as it is
    run.set_router_vector(2, vector_D)
    after, points = Territories.of(run.trainer), grid(BOX, 100).astype(np.float32)
    assert np.allclose(after.slope_2E[:, 2], [0.7, -1.2], atol=1e-6)
    assert after.offset_E[2] == pytest.approx(0.4, abs=1e-6)
    others = [0, 1, 3, 4, 5, 6, 7]
    assert np.array_equal(after.slope_2E[:, others], before.slope_2E[:, others])
    assert np.array_equal(after.choose(points), own_choice(run.trainer, points))
    run.step()
    again = LiveRun.replay(run.recipe, 2)
    assert np.array_equal(own_choice(again.trainer, points), own_choice(run.trainer, points))


def test_what_is_refused_is_named():
    with pytest.raises(ValueError, match="router: got 'dynmoe'"):
        Territories.of(trainer(router="dynmoe"))
    with pytest.raises(ValueError, match="router: got 'hash'"):
        Territories.of(trainer(router="hash"))
    with pytest.raises(ValueError, match="task: got 'text'"):
        Territories.of(trainer(task="text"))
    made = trainer()
    with pytest.raises(ValueError, match="expert: got 8"):
        vector_for(made, 8, np.zeros(2), 0.0)
    with pytest.raises(ValueError, match="offset: got nan"):
        vector_for(made, 0, np.zeros(2), float("nan"))
    with pytest.raises(ValueError, match="slope_2"):
        vector_for(made, 0, np.array([np.inf, 0]), 0.0)
    with pytest.raises(ValueError, match="size: got 0"):
        grid(BOX, 0)


def test_pixels_go_row_by_row_from_the_top():
    assert grid((0.0, 0.0, 2.0, 4.0), 2).tolist() == [[0.5, 3], [1.5, 3], [0.5, 1], [1.5, 1]]


def test_a_point_that_no_expert_takes_is_nobodys():
    routing = moe.make_router("relu").choose(np.array([[1.0, 2.0], [-1.0, -2.0]]))
    assert first_choices(routing).tolist() == [1, NOBODY]
