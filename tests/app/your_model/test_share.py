"""The code of the page on your own model loads what the page shows."""

from __future__ import annotations

import pytest

from moe.app.your_model import share as your_model_share
from moe.traces.samples import SAMPLES


def test_code_of_a_sample_names_its_place_and_layer() -> None:
    for number, sample in enumerate(SAMPLES):
        code = your_model_share.sample_code(sample.title, 1)
        assert f"trace = load_trace(SAMPLES[{number}].path)" in code
        assert "analyse_trace(trace).layers[1]" in code
        assert code.splitlines()[:4] == [
            "from moe.app.your_model.upload import beliefs",
            "from moe.traces import load_trace",
            "from moe.traces.report import analyse_trace",
            "from moe.traces.samples import SAMPLES",
        ]


@pytest.mark.parametrize("is_part", [False, True])
def test_code_of_a_file_loads_what_the_file_is(is_part: bool) -> None:
    def shown(file: str) -> list[str]:
        return your_model_share.own_file_code(file, 3, 2, is_part).splitlines()

    around = "shortened({})" if is_part else "{}"
    beliefs = "beliefs, shortened" if is_part else "beliefs"
    first = f"from moe.app.your_model.upload import {beliefs}"
    report = "from moe.traces.report import analyse_trace"
    trace, ratings = shown("a.npz"), shown("a.CSV")
    assert trace[:3] == [first, "from moe.traces import load_trace", report]
    assert "trace = " + around.format("load_trace('a.npz')") in trace
    assert ratings[:4] == [
        first,
        "from moe.routers import make_router",
        "from moe.traces import read_logits_csv",
        report,
    ]
    asked = "read_logits_csv('a.CSV', make_router(\"topk\", k=3))"
    assert "trace = " + around.format(asked) in ratings
    assert "layer = analyse_trace(trace).layers[2]" in trace
    # If nothing else is said, the file is taken whole.
    assert "shortened" not in your_model_share.own_file_code("a.npz", 3, 2)
