"""What the browser gets is what the records say; a film's forks are runs of their own."""

from __future__ import annotations

import json
from base64 import b64decode

import numpy as np

from moe.app.shared.stage import RANKS, STAGE, pack
from moe.app.shared.stage.film import record_film, sentences
from moe.app.shared.stage.packing import experts_for_stage
from moe.training import LiveRun, TrainSettings

SMALL = TrainSettings(n_experts=8, d_model=16, d_expert=8, batch=128, context=3, sequence_length=32)


def unpacked(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(b64decode(text), kind)


def test_a_packet_holds_the_records() -> None:
    run = LiveRun(SMALL, [(3, "room", 0.5)])
    records = [run.step() for _ in range(10)]
    packet = json.loads(json.dumps(pack(records[2:], sentences(records))))
    assert (packet["from"], packet["n"], packet["experts"]) == (2, 8, 8)
    share_nE = unpacked(packet["share"], "<u2").reshape(8, 8) / RANKS
    assert np.allclose(share_nE, [r.share_E for r in records[2:]], atol=1 / RANKS)
    for name, of in (("loss", "loss"), ("mean", "mean_loss"), ("vio", "max_vio")):
        assert np.allclose(unpacked(packet[name], "<f4"), [getattr(r, of) for r in records[2:]])
    assert unpacked(packet["dropped"], "<f4")[-1] == np.float32(records[-1].dropped) > 0
    assert [sample["at"] for sample in packet["samples"]] == [2, 4, 8]
    one, sample = packet["samples"][1], records[4].sample
    assert b64decode(one["inputs"]) == bytes(sample.inputs)
    assert unpacked(one["token"], "<u1").tolist() == sample.token_A.tolist()
    assert unpacked(one["expert"], "<u1").tolist() == sample.expert_A.tolist()
    assert unpacked(one["kept"], "<u1").astype(bool).tolist() == sample.kept_A.tolist()
    assert np.allclose(unpacked(one["weight"], "<u1") / 255, sample.weight_A, atol=1 / 255)
    assert [step for step, _ in packet["words"]] == [9]


def test_experts_have_colours_of_their_own_up_to_eight() -> None:
    few, many = experts_for_stage(8), experts_for_stage(64)
    assert few["names"] == list("ABCDEFGH") and len(set(few["colours"])) == 8
    assert many["names"][26] == "AA" and not many["colours"] and len(many["loads"]) == 4


def test_a_film_has_its_forks() -> None:
    recipe = LiveRun(SMALL).recipe
    made = record_film(recipe, 12, (4, 8), 6, ("balancing", "deepseek")).packed()
    assert made["main"]["n"] == 12 and [fork["at"] for fork in made["forks"]] == [4, 8]
    run = LiveRun(SMALL, [(8, "balancing", "deepseek")])
    records = [run.step() for _ in range(14)]
    fork = made["forks"][1]["records"]
    assert (fork["from"], fork["n"]) == (8, 6)
    assert np.array_equal(unpacked(fork["loss"], "<f4"), np.float32([r.loss for r in records[8:]]))
    assert json.loads(json.dumps(made)) == made


def test_the_scripts_of_the_stage_need_no_other() -> None:
    script = "".join(path.read_text("utf-8") for path in STAGE if path.suffix == ".js")
    assert script.index("class Track") < script.index("class Stage")
    assert not any(word in script for word in ("import ", "export ", "fetch(", "innerHTML"))
