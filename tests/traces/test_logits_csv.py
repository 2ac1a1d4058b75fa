"""CSV of router logits: what is read is what a router says of them; errors name the line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import moe
from moe import CheckpointError
from moe.traces import make_trace, read_logits_csv, write_logits_csv

TOP2 = moe.make_router("topk", k=2)


def test_the_least_table_is_enough() -> None:
    trace = read_logits_csv(b"logit_0,logit_1,logit_2\n1,2,3\n5,4,0\n", TOP2, model="m")
    assert trace.expert_LNK.tolist() == [[[2, 1], [0, 1]]]
    assert trace.weight_LNK[0, 0].tolist() == pytest.approx([0.731, 0.269], abs=1e-3)
    assert trace.token_ids_N is None and trace.tokens == ("0", "1")
    assert trace.model == "m" and trace.domain_N is None


def test_all_columns_in_any_order_and_rows_by_token() -> None:
    raw = (
        "\ufefflogit_1,token,layer,logit_0,domain,token_id,sequence,logit_2\n"
        '1,"a,b",4,0,prose,7,0,2\n3,"a,b",2,0,prose,7,0,2\n'
        "1,é,4,5,code,8,1,0\n1,é,2,0,code,8,1,0.5\n"
    )
    trace = read_logits_csv(raw.encode(), TOP2)
    assert trace.layers == (2, 4) and trace.tokens == ("a,b", "é")
    assert trace.logits_LNE.tolist() == [[[0, 3, 2], [0, 1, 0.5]], [[0, 1, 2], [5, 1, 0]]]
    assert trace.token_ids_N.tolist() == [7, 8] and trace.sequence_N.tolist() == [0, 1]
    assert trace.domains == ("prose", "code") and trace.domain_N.tolist() == [0, 1]


def test_logits_come_back_bit_for_bit(tmp_path: Path, rng: np.random.Generator) -> None:
    logits = rng.standard_normal((2, 9, 5)).astype(np.float32)
    routings = [TOP2.choose(logits_NE) for logits_NE in logits]
    from moe.traces import trace_of_routings

    trace = trace_of_routings(routings, np.arange(9), layers=(0, 2), tokens=['"', ",", "x"] * 3)
    write_logits_csv(trace, tmp_path / "logits.csv")
    back = read_logits_csv(tmp_path / "logits.csv", TOP2)
    assert np.array_equal(back.logits_LNE, logits) and back.tokens == trace.tokens
    assert np.array_equal(back.expert_LNK, trace.expert_LNK) and back.layers == (0, 2)
    with pytest.raises(ValueError, match="trace: got one without logits"):
        write_logits_csv(replace(trace, logits_LNE=None), tmp_path / "logits.csv")


@pytest.mark.parametrize("name", list(moe.ROUTERS))
def test_any_router_that_chooses_by_logits_alone_can_choose(name: str) -> None:
    router = moe.make_router(name)
    rows = "\n".join(",".join(str((i * 7 + e * 3) % 11) for e in range(8)) for i in range(16))
    raw = (",".join(f"logit_{e}" for e in range(8)) + "\n" + rows).encode()
    try:
        trace = read_logits_csv(raw, router)
    except ValueError as error:
        assert "allowed" in str(error) or "needs" in str(error)
        return
    want = router.choose(trace.logits_LNE[0], token_ids=trace.token_ids_N)
    assert np.array_equal(trace.routing(0).load, want.proposed_load)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 columns of logits"),
        ("logit_0,logit_1\n", "no rows"),
        ("a,b\n1,2\n", "got column 'a'"),
        ("logit_0,logit_0\n1,2\n", "a column twice"),
        ("logit_0,logit_2\n1,2\n", "without a gap"),
        ("logit_0,logit_1\n1\n", "line 2: got 1 values"),
        ("logit_0,logit_1\n1,2\n1,x\n", "line 3: got a logit that is no number"),
        ("logit_0,logit_1\n1,nan\n", "line 2: got NaN"),
        ("logit_0,logit_1\n1,1e999\n", "line 2: got NaN"),
        ("logit_0,logit_1\n1,1e300\n", "line 2: got NaN"),
        ("layer,logit_0,logit_1\nx,1,2\n", "line 2: got layer 'x'"),
        ("layer,logit_0,logit_1\n-1,1,2\n", "layers: got -1"),
        ("layer,logit_0,logit_1\n0,1,2\n0,1,2\n1,1,2\n", "layer: got different numbers"),
        ("layer,token_id,logit_0,logit_1\n0,5,1,2\n1,6,1,2\n", "token_id: got different ones"),
        ("sequence,logit_0,logit_1\n0,1,2\n1,1,2\n0,1,2\n", "sequences: got one in two places"),
        ('token,logit_0,logit_1\n"' + "x" * 200_000 + '",1,2\n', "cannot be read"),
        ("token,logit_0,logit_1\n" + "x" * 300 + ",1,2\n", "tokens: got"),
        ("context,logit_0,logit_1\n6,1,2\n7,1,2\n", "context: got 2 values"),
        ("context,logit_0,logit_1\n0,1,2\n", "context: got 0"),
    ],
)
def test_a_table_that_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        read_logits_csv(text.encode(), TOP2)


def test_other_bytes_and_too_few_experts_are_refused() -> None:
    with pytest.raises(CheckpointError, match="UTF-8"):
        read_logits_csv(b"\xff\xfe\x00", TOP2)
    with pytest.raises(ValueError, match="k"):
        read_logits_csv(b"logit_0\n1\n", TOP2)
    with pytest.raises(CheckpointError, match="allowed are 10"):
        read_logits_csv(b"logit_0\n1\n" * 9, TOP2, max_bytes=10)


def test_a_trace_without_the_column_of_domains_is_written_without(tmp_path: Path) -> None:
    logits = np.zeros((1, 1, 2), np.float32)
    trace = make_trace([[[0]]], np.ones((1, 1, 1)), 2, [0], logits_LNE=logits)
    write_logits_csv(trace, tmp_path / "x.csv")
    header = (tmp_path / "x.csv").read_text().splitlines()[0]
    assert header == "layer,token_id,token,sequence,logit_0,logit_1"


def test_what_the_model_saw_at_once_and_missing_ids_come_back(tmp_path: Path) -> None:
    logits = np.eye(3, dtype=np.float32)[None]
    trace = make_trace([[[0], [1], [2]]], np.ones((1, 3, 1)), 3, logits_LNE=logits, context=6)
    write_logits_csv(trace, tmp_path / "x.csv")
    assert "token_id" not in (tmp_path / "x.csv").read_text()
    back = read_logits_csv(tmp_path / "x.csv", moe.make_router("topk", k=1))
    assert back.context == 6 and back.token_ids_N is None and back.tokens == ("0", "1", "2")


def test_too_many_layers_are_refused_before_a_router_chooses() -> None:
    class Never(type(TOP2)):  # a router that must not be asked
        def choose(self, *_: object, **__: object) -> moe.Routing:
            raise AssertionError("asked")

    rows = "".join(f"{layer},1,2\n" for layer in range(5000))
    with pytest.raises(CheckpointError, match=r"layers: got 0, 1, 2.* allowed are 1 to 4096"):
        read_logits_csv(f"layer,logit_0,logit_1\n{rows}".encode(), Never(k=2))
