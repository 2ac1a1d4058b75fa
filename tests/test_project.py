"""The project's own files agree with each other and with what they are read by."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

import moe
from moe.pictures.palette import ACTION, INK, MUTED, PAPER
from tests.conftest import LONG

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONFIG = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))
TARGETS = ("demo", "test", "lint", "bench", "docs", "soak", "clean", "help")
AA = 4.5  # least contrast of text, WCAG 2.2 AA


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


# pyproject.toml --------------------------------------------------------------------------------


def test_the_entry_point_is_there():
    assert PROJECT["project"]["scripts"] == {"moe": "moe.__main__:main"}
    assert callable(importlib.import_module("moe.__main__").main)


def test_the_extra_all_covers_every_other_extra():
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = [Requirement(text) for text in extras["all"]]
    assert everything.name == PROJECT["project"]["name"]
    assert everything.extras == set(extras) - {"all"}


def test_there_is_one_version():
    version = PROJECT["project"]["version"]
    assert moe.__version__ == version
    assert re.search(rf"^## {re.escape(version)}\b", text_of("CHANGELOG.md"), re.MULTILINE)


def test_what_the_wheel_takes_from_outside_the_package_exists():
    taken = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {"app.py", ".streamlit/config.toml"} <= set(taken)
    assert all((ROOT / name).is_file() for name in [*taken, "moe/py.typed"])


# Makefile, README, CONTRIBUTING ----------------------------------------------------------------


def test_the_makefile_has_its_targets():
    defined = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    assert set(TARGETS) <= defined


def test_the_files_that_the_tests_begin_with_exist():
    assert not [name for name in LONG if not (ROOT / "tests" / name).exists()]


def test_the_readme_names_the_two_commands():
    readme = text_of("README.md")
    assert "make demo" in readme
    assert "make test" in readme


def test_continuous_integration_calls_the_readmes_test_command():
    assert "step make test" in text_of(".ci/run").splitlines()


def test_the_router_in_contributing_works(monkeypatch):
    code = re.findall(r"```python\n(.*?)```", text_of("CONTRIBUTING.md"), re.DOTALL)[0]
    module = types.ModuleType("moe.routers.threshold")
    module.__package__ = "moe.routers"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "CONTRIBUTING.md", "exec"), vars(module))
    router = module.Threshold()
    rng = np.random.default_rng(0)
    logits_NE = rng.normal(size=(6, 5))
    routing = router.choose(logits_NE)
    assert set(routing.token_A) == set(range(6))
    assert routing.load.sum() == routing.n_assignments > 6
    assert router.choose(logits_NE[:0]).n_assignments == 0

    dweight_A = rng.normal(size=routing.n_assignments)
    gradient_NE, step = router.backward(routing, dweight_A), 1e-6
    for index in np.ndindex(logits_NE.shape):
        delta_NE = np.zeros_like(logits_NE)
        delta_NE[index] = step
        up, down = (router.choose(logits_NE + sign * delta_NE).weight_A for sign in (1, -1))
        assert gradient_NE[index] == pytest.approx(dweight_A @ (up - down) / (2 * step), abs=1e-6)

    layer = moe.MoELayer.init(8, 16, 4, router=router)
    x_ND = rng.normal(size=(10, 8)).astype(np.float32)
    y_ND, context = layer.forward(x_ND)
    assert layer.backward(np.ones_like(y_ND), context)[0].shape == x_ND.shape


MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted(ROOT.glob("moe/**/*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert result.attempted
    assert not result.failed


# .streamlit/config.toml ------------------------------------------------------------------------


def options_of(table: dict, prefix: str = "") -> dict:
    """Flatten nested tables to Streamlit's dotted option names."""
    options = {}
    for name, value in table.items():
        if isinstance(value, dict):
            options |= options_of(value, f"{prefix}{name}.")
        else:
            options[f"{prefix}{name}"] = value
    return options


def test_streamlit_knows_every_option_that_is_set():
    known = importlib.import_module("streamlit.config").get_config_options()
    assert not set(options_of(CONFIG)) - set(known)


def test_the_full_collection_after_each_run_is_known_to_streamlit_and_off():
    known = importlib.import_module("streamlit.config").get_config_options()
    assert "runner.postScriptGC" in known
    assert CONFIG["runner"]["postScriptGC"] is False


def test_the_app_answers_local_names_and_hides_errors():
    assert {"localhost", "127.0.0.1"} <= set(CONFIG["server"]["allowedHosts"])
    assert CONFIG["server"]["enableXsrfProtection"] is CONFIG["server"]["enableCORS"] is True
    assert CONFIG["client"]["showErrorDetails"] == "none"
    assert CONFIG["browser"]["gatherUsageStats"] is False


def test_no_page_around_the_app_may_steer_it():
    known = importlib.import_module("streamlit.config").get_config_options()
    assert "client.allowedOrigins" in known
    assert CONFIG["client"]["allowedOrigins"] == []


def channels(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def luminance(rgb: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def mixed(front: str, back: str, share: float) -> tuple[float, ...]:
    """Colour of `share` of the front laid over the back."""
    pairs = zip(channels(front), channels(back), strict=True)
    return tuple(share * f + (1 - share) * b for f, b in pairs)


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_what_wcag_says():
    assert contrast(channels("#FFFFFF"), channels("#000000")) == pytest.approx(21)
    assert contrast(channels("#767676"), channels("#FFFFFF")) == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("ground", ["backgroundColor", "secondaryBackgroundColor"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_theme_colours_pass_contrast(scheme, ground):
    theme = CONFIG["theme"][scheme]
    back, primary, text = theme[ground], theme["primaryColor"], theme["textColor"]
    assert contrast(channels(text), channels(back)) >= AA
    assert contrast(channels(primary), channels(back)) >= AA
    assert contrast(channels(theme["linkColor"]), channels(back)) >= AA
    # Streamlit writes the selected segment in the primary colour on its own 10 % tint,
    # and captions in 60 % of the text colour.
    assert contrast(channels(primary), mixed(primary, back, 0.1)) >= AA
    assert contrast(mixed(text, back, 0.6), channels(back)) >= AA


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_of_charts_pass_contrast(scheme):
    theme, ink = CONFIG["theme"][scheme], INK[scheme]
    assert (ink, PAPER[ink]) == (theme["textColor"], theme["backgroundColor"])
    assert contrast(channels(MUTED[ink]), channels(theme["backgroundColor"])) >= AA


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_button_to_the_next_page_is_legible(scheme):
    theme, ink = CONFIG["theme"][scheme], INK[scheme]
    assert ACTION[ink] == theme["primaryColor"]
    assert contrast(channels(ACTION[ink]), channels(PAPER[ink])) >= AA


def test_white_passes_on_filled_buttons_in_the_light_theme():
    primary = CONFIG["theme"]["light"]["primaryColor"]
    assert contrast(channels(primary), channels("#FFFFFF")) >= AA


def test_no_view_has_a_filled_button():
    # Streamlit writes them in white; no one colour passes there and as text on a dark page.
    for path in [*ROOT.glob("moe/app/**/*.py"), *ROOT.glob("app.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "type":
                assert ast.unparse(node.value) != "'primary'", f"{path.name}:{node.value.lineno}"


def test_chart_palettes_have_the_sizes_that_streamlit_wants():
    theme = CONFIG["theme"]
    assert len(theme["chartSequentialColors"]) == len(theme["chartDivergingColors"]) == 10
    assert len(set(theme["chartCategoricalColors"])) == len(theme["chartCategoricalColors"])
    assert "#F0E442" not in theme["chartCategoricalColors"]  # yellow is too faint on white
    lightness = [luminance(channels(colour)) for colour in theme["chartSequentialColors"]]
    assert lightness == sorted(lightness)
