"""`moe place` behind its command: tables of loads, records of a placement, and limits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import moe
from moe.cluster import eplb_report
from moe.cluster.eplb_report import place_experts, read_loads

# Layer 0 has two hot experts side by side; layer 1 is even.
LOADS = [[9.0, 8.0, 1.0, 2.0, 1.0, 3.0, 2.0, 2.0], [4.0] * 8]
SKEWED = [[50.0, 30.0, 7.0, 7.0, 5.0, 3.0, 2.0, 1.0], [1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0]]


def table(where: Path, loads: object = LOADS, name: str = "loads.json") -> Path:
    path = where / name
    path.write_text(json.dumps(loads), "utf-8")
    return path


def uneven(loads: list[list[float]], phy2log: np.ndarray, gpus: int) -> list[float]:
    """Largest load of a GPU over the mean, per layer, added up slot by slot."""
    found = []
    for load_E, expert_P in zip(loads, phy2log.tolist(), strict=True):
        copies = [expert_P.count(e) for e in range(len(load_E))]
        size = len(expert_P) // gpus
        gpu = [sum(load_E[e] / copies[e] for e in expert_P[g * size : (g + 1) * size])
               for g in range(gpus)]  # fmt: skip
        found.append(max(gpu) / (sum(gpu) / gpus))
    return found


def twice(phy2log: np.ndarray, gpus: int) -> list[int]:
    """How often a GPU holds several copies of an expert, counted GPU by GPU."""
    return [
        sum(held.count(e) > 1 for held in np.reshape(expert_P, (gpus, -1)).tolist()
            for e in set(held))
        for expert_P in phy2log
    ]  # fmt: skip


def test_a_placement_says_how_even_each_layer_was_and_is(tmp_path: Path) -> None:
    found = place_experts(table(tmp_path), 0, 1, 1, 4)
    wanted = moe.rebalance_experts(np.array(LOADS), 8, 1, 1, 4)
    for made, maps in zip((found.phy2log, found.log2phy, found.logcnt), wanted, strict=True):
        np.testing.assert_array_equal(made, maps)
    in_order = np.array([list(range(8))] * 2)
    np.testing.assert_allclose(found.before_L, uneven(LOADS, in_order, 4))
    np.testing.assert_allclose(found.after_L, uneven(LOADS, wanted[0], 4))
    np.testing.assert_array_equal(found.after_L, found.eplb_L)
    assert (found.least_L <= found.eplb_L + 1e-9).all() and found.least_L[1] == 1
    assert found.layers == (0, 1) and found.method == "eplb" and found.notes == ()


def test_the_search_stands_beside_what_it_started_from(tmp_path: Path) -> None:
    path = table(tmp_path, SKEWED)
    found = place_experts(path, 12, 1, 1, 4, search=True)
    published, _, _ = moe.rebalance_experts(np.array(SKEWED), 12, 1, 1, 4)
    wanted, _, _ = moe.rebalance_experts(np.array(SKEWED), 12, 1, 1, 4, "search", 20, 0)
    np.testing.assert_array_equal(found.phy2log, wanted)
    np.testing.assert_allclose(found.eplb_L, uneven(SKEWED, published, 4))
    np.testing.assert_allclose(found.after_L, uneven(SKEWED, wanted, 4))
    assert found.eplb_doubled_L.tolist() == twice(published, 4)
    assert found.doubled_L.tolist() == twice(wanted, 4)
    assert found.method == "search" and (found.after_L <= found.eplb_L + 1e-9).all()
    plain = place_experts(path, 12, 1, 1, 4)
    np.testing.assert_array_equal(plain.phy2log, published)
    for options in ({"restarts": 3}, {"seed": 5, "restarts": 1}):
        other = place_experts(path, 12, 1, 1, 4, search=True, **options)
        asked = (options["restarts"], options.get("seed", 0))
        wanted, _, _ = moe.rebalance_experts(np.array(SKEWED), 12, 1, 1, 4, "search", *asked)
        np.testing.assert_array_equal(other.phy2log, wanted)


def test_experts_twice_on_a_gpu_are_counted(tmp_path: Path) -> None:
    loads = [[100.0, 1.0, 1.0, 1.0], [100.0, 100.0, 1.0, 1.0]]
    found = place_experts(table(tmp_path, loads), 12, 1, 1, 2)
    assert found.doubled_L.tolist() == found.eplb_doubled_L.tolist() == twice(found.phy2log, 2)
    assert found.doubled_L.min() >= 1
    assert found.rows()[-1]["twice"] == f"{sum(found.doubled_L.tolist()) / 2:.1f}"


@pytest.mark.parametrize("search", [False, True])
def test_rows_are_the_layers_and_their_mean(tmp_path: Path, search: bool) -> None:
    found = place_experts(table(tmp_path, SKEWED), 0, 1, 1, 4, search=search)
    columns = {"in order": found.before_L, "EPLB": found.eplb_L}
    if search:
        columns["search"] = found.after_L
    columns["at least"] = found.least_L
    rows = found.rows()
    assert [row["layer"] for row in rows] == ["0", "1", "mean"]
    assert all(list(row) == ["layer", *columns, "twice"] for row in rows)
    for name, (first, second) in columns.items():
        wanted = [first, second, (first + second) / 2]
        assert [row[name] for row in rows] == pytest.approx(wanted)
    assert [row["twice"] for row in rows] == ["0", "0", "0.0"]


def test_json_has_every_field_and_the_means(tmp_path: Path) -> None:
    found = place_experts(table(tmp_path, SKEWED), 12, 1, 1, 4, search=True)
    document = found.as_json()
    for name in ("phy2log", "log2phy", "logcnt", "before_L", "eplb_L", "after_L", "least_L",
                 "eplb_doubled_L", "doubled_L"):  # fmt: skip
        assert document[name] == getattr(found, name).tolist(), name
    for name in ("layers", "policy", "method", "notes"):
        assert document[name] == getattr(found, name), name
    means = {name.removeprefix("max_over_mean_"): value for name, value in document.items()
             if name.startswith("max_over_mean_")}  # fmt: skip
    assert means == {
        name: pytest.approx(sum(document[f"{name}_L"]) / 2)
        for name in ("before", "eplb", "after", "least")
    }
    found.save(tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text("utf-8")) == json.loads(
        json.dumps(document)
    )
    with pytest.raises(ValueError, match=r"out: got '.*none/out.json' \(No such file"):
        found.save(tmp_path / "none" / "out.json")


def test_experts_that_the_gpus_do_not_divide_have_no_order_to_compare_with(tmp_path: Path) -> None:
    found = place_experts(table(tmp_path, [[3.0, 2.0, 1.0, 1.0, 1.0, 1.0]]), 0, 1, 1, 4)
    assert found.before_L is None and found.phy2log.shape == (1, 8)  # the next multiple of 4
    assert list(found.rows()[0]) == ["layer", "EPLB", "at least", "twice"]
    document = found.as_json()
    assert document["before_L"] is document["max_over_mean_before"] is None


@pytest.mark.parametrize(
    ("groups", "nodes", "policy", "note"),
    [
        (4, 2, "hierarchical", None),
        (2, 2, "hierarchical", None),
        (1, 2, "global", "2 nodes do not divide 1 group: groups and nodes are ignored, as EPLB "
         "does."),
        (2, 4, "global", "4 nodes do not divide 2 groups: groups and nodes are ignored, as EPLB "
         "does."),
    ],
)  # fmt: skip
def test_groups_that_nodes_do_not_divide_are_said_to_be_ignored(
    tmp_path: Path, groups: int, nodes: int, policy: str, note: str | None
) -> None:
    found = place_experts(table(tmp_path, SKEWED), 8, groups, nodes, 4)
    assert found.policy == policy and found.notes == ((note,) if note else ())
    maps = moe.rebalance_experts(np.array(SKEWED), 8, groups, nodes, 4)
    np.testing.assert_array_equal(found.phy2log, maps[0])
    bound = moe.rebalance_experts(np.array(SKEWED), 8, groups, nodes, 4, "search", 20)[0]
    assert (found.least_L <= np.array(uneven(SKEWED, bound, 4)) + 1e-9).all()


def test_restarts_and_gpus_are_checked_at_their_ends(tmp_path: Path) -> None:
    path = table(tmp_path)
    for restarts in (0, 10_000):
        place_experts(path, 0, 1, 1, 4, restarts=restarts)
    for restarts in (-1, 10_001):
        with pytest.raises(ValueError, match=rf"restarts: got {restarts}, .* 0\.\.10000"):
            place_experts(path, 0, 1, 1, 4, restarts=restarts)
    assert place_experts(path, 0, 1, 1, 1).after_L.tolist() == [1, 1]
    with pytest.raises(ValueError, match="gpus: got 0, allowed is a whole number >= 1"):
        place_experts(path, 0, 1, 1, 0)


def test_every_kind_of_table_holds_the_same_loads(tmp_path: Path) -> None:
    files = [table(tmp_path), tmp_path / "loads.CSV", tmp_path / "loads.npy"]
    files[1].write_bytes("\ufeff9,8,1,2,1,3,2,2\n4,4,4,4,4,4,4,4\n".encode())  # as Excel does
    np.save(files[2], np.array(LOADS, np.float32))
    for path in files:
        load_LE, layers = read_loads(path)
        np.testing.assert_array_equal(load_LE, LOADS)
        assert layers == (0, 1)
    one, layers = read_loads(table(tmp_path, [0, 1, 2]))  # a single layer; no load is a load
    assert one.tolist() == [[0, 1, 2]] and layers == (0,)


@pytest.mark.parametrize(
    ("loads", "reason"),
    [
        ([["1", "2"]], "got dtype <U1"),
        ([[True, False]], "got dtype bool"),
        ([[1, -2.5, 3]], "got a load of -2.5, allowed are numbers >= 0"),
    ],
)
def test_what_are_no_loads_is_named(tmp_path: Path, loads: object, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^file: ") as stop:
        read_loads(table(tmp_path, loads))
    assert reason in str(stop.value)


@pytest.mark.parametrize("ending", [".csv", ".json", ".npy"])
def test_so_many_loads_are_read_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(eplb_report, "MOST_LOADS", 4)

    def written(*numbers: int) -> Path:
        path = tmp_path / f"loads{ending}"
        if ending == ".npy":
            np.save(path, np.array([numbers]))
        else:
            text = ",".join(map(str, numbers))
            path.write_text(f"{text}\n" if ending == ".csv" else f"[[{text}]]")
        return path

    assert read_loads(written(1, 2, 3, 4))[0].tolist() == [[1, 2, 3, 4]]
    with pytest.raises(ValueError, match=r"got (5|more than 4) loads"):
        read_loads(written(1, 2, 3, 4, 5))
    if ending == ".csv":  # counted before anything is parsed, however the numbers are laid out
        for text in ("1\n2\n3\n4\n5\n", "1,2,3,4,5\n", "1,2\n3,4\n5,6\n"):
            (tmp_path / "long.csv").write_text(text)
            with pytest.raises(ValueError, match="got more than 4 loads"):
                read_loads(tmp_path / "long.csv")
    monkeypatch.setattr(eplb_report, "LARGEST_FILE", 5)
    with pytest.raises(ValueError, match=r"loads\.|file: got"):
        read_loads(written(1, 2, 3, 4))


def test_a_file_may_hold_all_experts_of_the_largest_models() -> None:
    assert eplb_report.MOST_LOADS >= 10 * 58 * 256
    assert eplb_report.LARGEST_FILE >= 16 * eplb_report.MOST_LOADS  # bytes a number
    assert eplb_report.LARGEST_FILE <= 64 * 2**20  # of somebody else's memory
