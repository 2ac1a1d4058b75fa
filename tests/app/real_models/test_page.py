"""The page Real models without a browser."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from moe.app.real_models import story
from moe.cost import MODELS, ModelConfig
from moe.numbers import gigabytes
from moe.traffic.tables import TABLES, load_table
from tests.app.visit import open_page


def needed(model: ModelConfig) -> float:
    """Bytes of a model at 4 bits, and of 4,096 tokens."""
    kept = 4096 * model.kv_bytes_per_token() + 4 * model.state_values()
    return model.total_params * 4.5 / 8 + kept


FIT = sum(needed(model) <= 0.9 * 16e9 for model in MODELS.values())  # on a laptop


def words(page: AppTest) -> str:
    return "\n".join(element.value for element in [*page.markdown, *page.caption])


def heads(page: AppTest) -> str:
    """What stands above those that fit and those that do not."""
    return "; ".join(rows_of(page, "heads")["heads"]["head"])


def rows_of(page: AppTest, data: str) -> dict[str, pd.DataFrame]:
    """All data of the chart that has data of this name."""
    for chart in page.get("vega_lite_chart"):
        sent = {
            one.name: pa.ipc.open_stream(one.data.data).read_pandas()
            for one in chart.proto.datasets
        }
        if data in sent:
            return sent
    raise AssertionError(f"no chart of {data}")


def test_real_models_tell_what_fits_without_a_click() -> None:
    page = open_page("real_models")
    assert not page.exception and not page.error
    assert f"{FIT} of {len(MODELS)}" in words(page) and len(page.get("vega_lite_chart")) == 4
    assert not page.dataframe  # its expander is closed
    page.button_group(key="have").set_value("Gaming PC 24 GB").run()
    page.selectbox(key="weights").set_value("16 bits").run()
    assert not page.exception and "Fits in 22 GB of memory" in heads(page)
    page.selectbox(key="convention").set_value("without both tables").run()
    page = open_page("real_models", many="true", stored="true")
    assert len(page.get("vega_lite_chart")) == 6
    page.selectbox(key="model").set_value("OLMoE-1B-7B").run()
    assert "Alone, a conversation with OLMoE-1B-7B" in words(page)


def test_a_click_or_a_link_changes_the_text_and_the_map() -> None:
    page = open_page("real_models", sources="true")
    table = load_table("v2-lite")
    assert all(table.source in words(page) for table in map(load_table, TABLES))
    for label, task in (("Translation", "translation"), ("Law", "law"), ("Requests", "intent")):
        if label != "Translation":  # which is shown at first
            page.button_group(key="task").set_value(label).run()
        assert not page.exception and not page.error
        rows = rows_of(page, "map")["map"]
        loads = [load for loads in table.loads[task] for load in loads]
        fair = table.tokens[task] * table.k / table.n_experts
        assert rows["ratio"].tolist() == pytest.approx([load / fair for load in loads])
        assert f"On **{label.lower()}**" in spoken_away(words(page))
    linked = open_page("real_models", task="All four")
    assert "On **all four**" in spoken_away(words(linked))
    assert not open_page("real_models", task="?").exception


def spoken_away(text: str) -> str:
    """Without the buttons of words that can be asked for."""
    return re.sub(r"<[^>]*>", "", text)


def test_each_answer_is_the_machine_that_it_names() -> None:
    """Gigabytes that the chips name are those of the machine, and nine tenths of it are used."""
    for have, (name, many) in story.HAVE.items():
        page = open_page("real_models", have=have)
        memory = story.MACHINES[name].memory_gb * many
        named = have.rpartition(" GB")[0].rpartition(" ")[2]
        assert not named or float(named) == memory
        assert f"Fits in {gigabytes(0.9 * memory)} of memory" in heads(page), have
        best = re.search(r"\*\*([^*]+)\*\*: it writes", words(page))
        assert best and best[1] == page.metric[0].label


def test_another_machine_is_chosen_by_name_and_more_of_them_hold_more() -> None:
    page = open_page("real_models", have="Another", machine="A100 SXM 80 GB")
    before = heads(page)
    assert "72 GB" in before
    page.number_input(key="machines_1").set_value(4).run()
    assert "288 GB" in heads(page) and not page.exception


def test_a_machine_of_ones_own_sends_every_position_of_its_sliders() -> None:
    page = open_page("real_models", have="My own")
    assert not page.exception and not page.error
    sent = rows_of(page, "speeds")
    places = [f"gb={gb}" for gb in story.OWN_GB] + [f"gbs={gbs}" for gbs in story.OWN_GB_S]
    rows = sent["speeds"]
    assert set(rows["at"]) == {"", *places}
    for at, gb, gbs in (("", 64, 400), ("gb=512", 512, 400), ("gbs=20", 64, 20)):
        here = rows[rows["at"] == at]
        fits = [
            model for model in MODELS.values()
            if needed(model) <= 0.9e9 * gb
        ]  # fmt: skip
        assert len(here) == len(MODELS) and here["fits"].sum() == len(fits), at
        llama = MODELS["llama-3.1-70b"]
        read = (llama.active("head_only") + 8192) * 4.5 / 8 + 4096 * llama.kv_bytes_per_token()
        bar = here[here["model"] == "Llama-3.1-70B, dense"]["bar"].item()
        assert bar == pytest.approx(min(gbs * 1e9 / read, 100), rel=1e-6)


def test_the_table_and_its_sources_are_there_when_they_are_asked_for() -> None:
    page = open_page("real_models", every="true")
    assert len(page.dataframe[0].value) == len(MODELS)
    assert "25 “with both tables”" in words(page)
    assert "89.6 GB a second †" in page.table[0].value.to_string()


def test_real_models_survive_a_bad_link() -> None:
    page = open_page("real_models", have="?", machine="?", batch="3", machines_1="0", usable="7")
    assert not page.exception and not page.error and f"{FIT} of {len(MODELS)}" in words(page)
    page = open_page("real_models", have="My own", gb="8", usable="30", weights="16 bits")
    assert not page.exception and "It is" not in words(page)
    page = open_page("real_models", have="My own", gb="-1", gbs="7")
    assert not page.exception and not page.error
