"""What the page on moving data says, counted and computed another way."""

from __future__ import annotations

import json

import numpy as np
import pytest

from moe.app.moving_data import share as moving_data_share
from moe.app.moving_data import story as moving
from moe.app.moving_data.story import MovingSettings, before_after, by_limit, links, move, ways
from moe.cluster.simulate import ClusterSettings, simulate

SMALL = MovingSettings(tokens=128)


def test_bytes_and_times_are_those_of_rows_counted_one_by_one() -> None:
    """Route again, and count every copy in plain loops."""
    from moe.cluster.simulate import _sampled  # the very batch that was counted

    (parts,) = _sampled(SMALL.simulated())
    network_GG = np.zeros((64, 64), int)
    nvlink_GG = np.zeros((64, 64), int)
    for routing, home_N in parts:
        expert_NK = routing.expert_A.reshape(-1, 8)
        for home, chosen in zip(home_N.tolist(), expert_NK.tolist(), strict=True):
            gpus = {expert // 4 for expert in chosen}
            for node in {gpu // 8 for gpu in gpus}:
                relay = home if node == home // 8 else node * 8 + home % 8
                network_GG[home, relay] += relay != home
                for gpu in gpus:
                    nvlink_GG[relay, gpu] += gpu // 8 == node and gpu != relay
    moved = move(SMALL)
    both = network_GG + nvlink_GG
    row = 7168 + 7168 // 128 * 4, 2 * 7168
    megabytes = (both * row[0] + both.T * row[1]).reshape(8, 8, 8, 8).sum(axis=(1, 3)) / 1e6
    np.testing.assert_allclose(moved.node_MM, megabytes)
    np.testing.assert_allclose(moved.network_mb_M, megabytes.sum(1) - np.diag(megabytes))
    for phase, size in zip((moved.dispatch, moved.combine), row, strict=True):
        slowest = max(
            max(rows.sum(0).max(), rows.sum(1).max()) * size / rate / 1e3
            for rows, rate in ((network_GG, 50 * 0.880), (nvlink_GG, 200 * 0.699))
        )
        assert phase.us == pytest.approx(32.1 + slowest, rel=1e-9)


def test_the_command_of_the_page_is_the_same_batch() -> None:
    words = moving_data_share.command(SMALL).split()
    assert words[:3] == ["moe", "cluster", "simulate"]
    given = dict(zip(words[3::2], words[4::2], strict=True))
    usual, options = ClusterSettings(), {}
    for flag, value in given.items():
        name = flag.removeprefix("--").replace("-", "_")
        options[name] = type(getattr(usual, name))(value)
    (result,) = simulate(ClusterSettings(**options))
    moved = move(SMALL)
    assert result.summary()["dispatch_us"] == pytest.approx(moved.dispatch.us)
    assert result.summary()["copies_per_token"] == moved.sent.copies_per_token
    assert moving_data_share.command(MovingSettings(wire="BF16")) is None


def test_copies_are_as_published() -> None:
    made = ways(SMALL)
    assert [round(way.by_chance, 2) for way in made] == [8, 5.29, 3.63]
    assert made[0].moved.sent.copies_per_token == 8
    assert made[1].moved.sent.copies_per_token == pytest.approx(5.29, abs=0.15)
    assert 3.63 < made[2].moved.sent.copies_per_token <= 4
    assert made[0].moved.ms > made[1].moved.ms > made[2].moved.ms
    assert len(ways(MovingSettings(tokens=128, limit=8))) == 2


def test_the_network_brings_one_row_while_nvlink_passes_on_three() -> None:
    """The report says 3.2 for the H800 (160 against 50 GB/s)."""
    assert moving.experts_per_row(SMALL) == pytest.approx(3.2, abs=0.1)
    h800, h100 = links(SMALL)
    assert h800.network_ms == h100.network_ms
    assert h800.nvlink_ms == pytest.approx(h100.nvlink_ms * 450 / 200)


def test_two_byte_rows_take_longer_and_results_do_not() -> None:
    wide, narrow = (
        move(MovingSettings(tokens=512, wire="BF16", skew=0.0)),
        move(MovingSettings(tokens=512, skew=0.0)),
    )
    fixed = 32.1
    grown = (wide.dispatch.us - fixed) / (narrow.dispatch.us - fixed)
    assert grown == pytest.approx(2 * 7168 / 7392)
    assert wide.combine.us == narrow.combine.us


@pytest.mark.parametrize("limit", [4, 8])
def test_placing_experts_lowers_the_busiest_gpu(limit: int) -> None:
    before, after = before_after(MovingSettings(limit=limit))
    assert after.load_G.max() < 0.7 * before.load_G.max()
    assert after.sent.load_G.sum() == before.sent.load_G.sum()
    assert after.settings.simulated().redundant == 64


def test_one_node_has_no_network() -> None:
    moved = move(MovingSettings(nodes=1, tokens=128))
    assert not moved.network_mb_M.any() and moved.bound_by == "NVLink"
    assert "network" not in moved.words()


@pytest.mark.parametrize(
    ("field", "value"), [("nodes", 3), ("limit", 0), ("copies", "x"), ("skew", -1.0), ("gpu", "x")]
)
def test_a_wrong_setting_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field}: got"):
        MovingSettings(**{field: value})


def test_the_export_and_the_code_hold_the_pages_figures(capsys: pytest.CaptureFixture) -> None:
    moved = move(SMALL)
    raw = moving_data_share.document(
        moved, ways(SMALL), links(SMALL), before_after(SMALL), by_limit(SMALL)
    )
    document = json.loads(raw)
    assert document["moved"]["dispatch_us"] == moved.dispatch.us
    assert document["moved"]["combine_us"] == moved.combine.us
    assert [(way["way"], way["dispatch_us"]) for way in document["ways"]] == [
        (way.title, way.moved.dispatch.us) for way in ways(SMALL)
    ]
    for name, made in (("links", links(SMALL)), ("before_and_after", before_after(SMALL))):
        assert [one["nvlink_ms"] for one in document[name]] == [one.nvlink_ms for one in made]
        assert [one["slowest"] for one in document[name]] == [one.slowest for one in made]
    limits = by_limit(SMALL)
    assert [one["wishes_met"] for one in document["limits"]] == [one.wishes for one in limits]
    assert document["kind"] == "moving-data"
    exec(moving_data_share.code(SMALL), {})
    said = capsys.readouterr().out
    assert moved.words() in said and moving.limit_words(limits, SMALL.reach) in said
