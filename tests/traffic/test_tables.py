"""The shipped tables give the published figures; on the data they are measured again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import real_data, real_routing
from moe.cost import expected_experts
from moe.traffic import TABLES
from moe.traffic.tables import FOLDER, load_table, table_of

# Published beside the data, or in a review of them by another program: what rounding allows.
REVIEWED_MAX_VIO = {
    "intent": 3.06, "law": 2.63, "summary": 3.31, "translation": 4.78, "mix": 1.83,
}  # fmt: skip
DATA = os.environ.get("MOE_ROUTING_DATA", "")


def test_every_table_says_where_it_is_from() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(TABLES)
    for name in TABLES:
        table = load_table(name)
        assert table.source.startswith("https://github.com/") and len(table.commit) == 40
        assert table.licence and table.path and table.command.startswith("python -m benchmarks.")
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 150_000


def test_loads_add_up_to_k_experts_of_every_token() -> None:
    for name in TABLES:
        table = load_table(name)
        for domain, rows in table.loads.items():
            assert len(rows) == len(table.layers)
            assert {sum(row) for row in rows} == {table.k * table.tokens[domain]}
            assert {len(row) for row in rows} == {table.n_experts}
            assert max(map(max, rows)) <= table.tokens[domain]


def test_max_vio_is_the_review_s() -> None:
    table = load_table("v2-lite")
    assert sum(table.tokens.values()) == 30_018
    for name, value in table.max_vio().items():
        assert value == pytest.approx(REVIEWED_MAX_VIO[name], abs=0.005)
    # Once more, by hand: of one task, layer by layer.
    per_layer = [max(row) / (sum(row) / 64) - 1 for row in table.loads["law"]]
    assert table.max_vio()["law"] == pytest.approx(sum(per_layer) / 26)


def test_sixteen_tokens_read_fewer_experts_than_the_even_formula_says() -> None:
    table = load_table("v2-lite")
    at = table.sizes.index(16)
    assert expected_experts(64, 6, 16) == pytest.approx(50.8, abs=0.05)
    assert table.batch_DS[:, at].mean() == pytest.approx(42.6, rel=0.01)
    # The review's 38.3 is a sample; all windows give 36.8.
    assert table.in_a_row_DS[:, at].mean() == pytest.approx(38.3, rel=0.05)
    assert (table.in_a_row_DS[:, at] < table.batch_DS[:, at]).all()


def test_neighbours_share_three_times_as_many_experts_as_chance_gives() -> None:
    table = load_table("v2-lite")
    pairs = [table.n_windows[domain][1] for domain in table.domains]
    shared_L = np.average([table.shared[d] for d in table.domains], axis=0, weights=pairs)
    assert shared_L.mean() == pytest.approx(0.28, abs=0.005)
    assert shared_L.min() == pytest.approx(0.13, abs=0.01)
    assert shared_L.max() == pytest.approx(0.35, abs=0.01)
    # Two consecutive tokens read 2k less what they share.
    read_D = [table.in_a_row[d][1] for d in table.domains]
    shared_D = [np.mean(table.shared[d]) for d in table.domains]
    assert read_D == pytest.approx([12 - 6 * share for share in shared_D], abs=2e-3)


def test_nearly_all_arxiv_tokens_choose_one_expert_of_olmoe_s_first_layer() -> None:
    olmoe, mixtral = load_table("olmoe"), load_table("mixtral")
    assert max(olmoe.loads["arxiv"][0]) == 204_013 and olmoe.tokens["arxiv"] == 208_896
    first = np.array([rows[0] for rows in mixtral.loads.values()]) / (2 * 208_896)
    assert first.min() == pytest.approx(0.092, abs=5e-4)
    assert first.max() == pytest.approx(0.162, abs=5e-4)
    third = np.array([rows[2][3] for rows in mixtral.loads.values()]) / (2 * 208_896)
    assert 0.045 < third.min() < third.max() < 0.095


def test_rank_shares_descend_and_add_up_to_one() -> None:
    share_E = load_table("v2-lite").rank_share()
    assert share_E.sum() == pytest.approx(1) and (np.diff(share_E) <= 0).all()
    assert share_E[0] > 4 / 64  # the busiest has more than four fair shares


def test_the_command_prints_measured_beside_reviewed() -> None:
    words = list(real_routing.report({name: load_table(name) for name in TABLES}))
    text = "\n".join(words)
    assert "MaxVio of translation, mean over layers" in text and "review: 4.78" in text
    assert text.count("review:") == 18 and text.count("(even +") == 8


def test_a_table_is_written_as_it_is_read() -> None:
    for name in TABLES:
        text = (FOLDER / f"{name}.json").read_text("utf-8")
        assert real_routing.written(table_of(json.loads(text))) == text


@pytest.mark.soak
@pytest.mark.skipif(not DATA, reason="MOE_ROUTING_DATA names no folder of the data")
def test_the_data_give_the_shipped_tables() -> None:
    for name, table in real_routing.measure(Path(DATA)).items():
        shipped = load_table(name)
        for field in ("loads", "tokens", "template", "n_windows", "in_a_row", "shared"):
            assert real_routing.as_plain(table)[field] == getattr(shipped, field), (name, field)


def test_one_command_measures_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: dict[str, list[str]] = {}
    for part in real_data.PARTS:
        name = part.__name__.rpartition(".")[2]
        monkeypatch.setattr(part, "main", lambda given, name=name: called.update({name: given}))
    for asked in (["here"], ["here", "--write"]):
        called.clear()
        real_data.main(asked)
        assert set(called) == {
            "real_routing", "expert_cache", "batch_reads", "placement", "scaling_law"
        }  # fmt: skip
        for name, given in called.items():
            assert given == (["here"] if name == "placement" else asked)
    assert capsys.readouterr().out.count("DeepSeek-V2-Lite") >= 3
