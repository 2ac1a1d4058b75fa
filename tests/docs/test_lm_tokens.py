"""The page on where tokens go says what its record holds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from docs.generator import lm_tokens as page
from docs.generator import studies

ROWS = [json.loads(line) for line in studies.record(page.NAME).read_text().splitlines()[1:]]
SHARES = ("token", "topic", "beyond", "tenth", "quarter", "half")


def own(figure: str, balance: str = page.EVEN) -> np.ndarray:
    return np.array([row[figure] for row in ROWS if row["balance"] == balance])


@pytest.mark.parametrize("figure", SHARES)
@pytest.mark.parametrize("layer", page.PLACES)
def test_every_share_is_that_of_the_record(figure: str, layer: str) -> None:
    value = 100 * own(f"{figure}_{layer}")
    cell = f"{value.mean():.1f} ± {value.std(ddof=1):.1f} %"
    assert f"| {cell} |" in page.page().replace("\u00a0", " ")


def test_words_count_the_seeds_beyond_chance() -> None:
    n = int((own("beyond_p_last") <= 0.05).sum())
    assert f"more than chance in {n} of {len(own('beyond_p_last'))} seeds" in page.page()


def test_the_free_run_is_the_one_without_balancing() -> None:
    vio, free = own("worst_max_vio"), own("worst_max_vio", "none")
    assert free.mean() > vio.mean()
    text = page.page().replace("\u00a0", " ")
    assert (
        f"MaxVio is {free.mean():.2f} ± {free.std(ddof=1):.2f} instead of {vio.mean():.2f}" in text
    )
    bits = own("bits_per_byte", "none")
    assert f"{bits.mean():.3f} ± {bits.std(ddof=1):.3f} against" in text


def test_words_follow_the_figures() -> None:
    """Turned about, the record is told the other way."""
    study = studies.read(page.NAME)
    swap = {"first": "last", "last": "first"}
    turned = [
        {
            f"{name.removesuffix(place)}{swap[place]}" if place in swap else name: value
            for name, value in row.items()
            for place in [name.rpartition("_")[2]]
        }
        for row in study.rows
    ]
    other = studies.Study(
        study.experiment, study.version, study.data, study.settings, tuple(turned)
    )
    before, after = page.page_of(study), page.page_of(other)
    for word, opposite in (("rises", "falls"), ("falls", "rises")):
        if f"what the topic explains {word}" in before:
            assert f"what the topic explains {opposite}" in after
