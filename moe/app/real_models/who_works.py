"""Which experts of real models work, by what they read: from the tables that ship."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ...numbers import digits, percent
from ...traffic.tables import TABLES, RoutingTable, load_table

MAPPED, EXTREME = "v2-lite", "olmoe"  # tables of the map, and of the expert that nearly all choose
# What the buttons say, and what the source calls it.
TEXTS = {"Requests": "intent", "Law": "law", "Summaries": "summary", "Translation": "translation"}
MIXED = "All four"
CHOICES = (*TEXTS, MIXED)
USUAL = "Translation"
NAMES = {
    "arxiv": "arXiv", "book": "books", "c4": "web pages (C4)", "github": "code (GitHub)",
    "wikipedia": "Wikipedia", "tulu": "chats (Tulu)",
} | {name: label.lower() for label, name in TEXTS.items()}  # fmt: skip


def mapped() -> RoutingTable:
    """The table of the model that the map shows."""
    return load_table(MAPPED)


@lru_cache
def fair_shares(choice: str) -> np.ndarray:
    """Load of each expert in fair shares, (L, E), on a text or on all of them alike."""
    table = mapped()
    share_DLE = table.share_DLE
    share_LE = (
        share_DLE.mean(axis=0) if choice == MIXED else share_DLE[table.domains.index(TEXTS[choice])]
    )
    return np.asarray(share_LE * table.n_experts)


def busiest(choice: str) -> float:
    """Fair shares of the busiest expert of a layer, mean over layers."""
    return float(fair_shares(choice).max(axis=1).mean())


def own_layers(choice: str) -> int:
    """Layers whose busiest expert is the busiest on no other text."""
    best_L = fair_shares(choice).argmax(axis=1)
    others = [fair_shares(text).argmax(axis=1) for text in TEXTS if text != choice]
    return int(np.all([best_L != other_L for other_L in others], axis=0).sum())


def model_words() -> str:
    """What the map is a map of."""
    table = mapped()
    return (
        f"{table.model} has {table.n_experts} experts in each of {len(table.layers)} layers. "
        "Change what it reads:"
    )


def busiest_words(choice: str) -> str:
    """How uneven the work is on a text, and whether the same experts are busy on others."""
    words = (
        f"On **{choice.lower()}**, the busiest expert of a layer does "
        f"**{digits(busiest(choice))} times** its fair share. "
    )
    if choice == MIXED:
        return (
            words + f"On one of them alone it is {_span([busiest(text) for text in TEXTS])} times."
        )
    n_layers, n_own = len(mapped().layers), own_layers(choice)
    return words + (
        f"On other texts, it is another in {'all' if n_own == n_layers else f'{n_own} of'} "
        f"{n_layers} layers."
    )


def _span(values: list[float]) -> str:
    return " to ".join(dict.fromkeys(map(digits, (min(values), max(values)))))


@dataclass(frozen=True, eq=False)
class OneExpert:
    """The expert that most tokens of a text choose in a model's first recorded layer.

    Attributes
    ----------
    model, text, layer, expert
        Whose, on what, and where.
    chosen, tokens
        Tokens of that text that chose it, and all of them.
    share
        Share of the tokens of every text that choose it, the largest first.
    fair
        That share if all experts had the same work.
    """

    model: str
    text: str
    layer: int
    expert: int
    chosen: int
    tokens: int
    share: dict[str, float]
    fair: float

    def words(self) -> str:
        """How many choose it, and how many of other texts do."""
        others = [share for text, share in self.share.items() if text != self.text]
        low, high = percent(min(others)), percent(max(others))
        name = self.model.partition("-")[0]
        return (
            f"**{percent(self.share[self.text])} of {NAMES[self.text]} tokens choose one expert in "
            f"{name}’s first layer**: {self.chosen:,} of {self.tokens:,}. Its fair share would be "
            f"{digits(100 * self.fair, 3)}%. Of the other texts, {low} to {high} of the tokens "
            "choose it."
        )


@lru_cache
def one_expert() -> OneExpert:
    """The text and the expert of the first layer of OLMoE that belong together most."""
    table = load_table(EXTREME)
    chosen_DE = table.chosen_DLE[:, 0]
    at, expert = np.unravel_index(chosen_DE.argmax(), chosen_DE.shape)
    text = table.domains[at]
    order = np.argsort(-chosen_DE[:, expert], kind="stable")
    return OneExpert(
        table.model, text, table.layers[0], int(expert),
        table.loads[text][0][int(expert)], table.tokens[text],
        {table.domains[d]: float(chosen_DE[d, expert]) for d in order},
        table.k / table.n_experts,
    )  # fmt: skip


@dataclass(frozen=True)
class Uneven:
    """How uneven a model is.

    Attributes
    ----------
    model, experts, k, layers
        Which model, experts of a layer, those of a token, and layers that were counted.
    times
        Fair shares of a layer's busiest expert by text, mean over layers.
    most
        The most that is possible: all tokens choose it.
    """

    model: str
    experts: int
    k: int
    layers: int
    times: dict[str, float]
    most: float

    @property
    def mean(self) -> float:
        """Mean over texts."""
        return float(np.mean(list(self.times.values())))

    @property
    def label(self) -> str:
        """The mean, and its span over texts."""
        return f"{digits(self.mean)} ({_span(list(self.times.values()))})"


@lru_cache
def models() -> tuple[Uneven, ...]:
    """Every model that was counted, in the order of the tables."""
    found = []
    for name in TABLES:
        table = load_table(name)
        times_D = (table.share_DLE * table.n_experts).max(axis=2).mean(axis=1).tolist()
        times = dict(zip(table.domains, times_D, strict=True))
        found.append(
            Uneven(
                table.model,
                table.n_experts,
                table.k,
                len(table.layers),
                times,
                table.n_experts / table.k,
            )
        )
    return tuple(found)


def models_words() -> str:
    """Which model is the most even, and what would be possible in each."""
    even = min(models(), key=lambda one: one.mean)
    others = [one for one in models() if one != even]
    against = " and ".join(f"{digits(one.mean)} in {one.model}" for one in others)
    limits = [f"{digits(one.most)} with {one.k} of {one.experts} experts" for one in models()]
    return (
        f"**{even.model} is the most even**: its busiest expert does {digits(even.mean)} times its "
        f"fair share, against {against}. What is possible differs, too: at most "
        f"{', '.join(limits)} for each token."
    )


def sources() -> list[str]:
    """Where each table is from, and what computed it."""
    said = []
    for name in TABLES:
        table = load_table(name)
        layers = (
            f"{len(table.layers)} layers" if len(table.layers) > 3
            else f"layers {', '.join(map(str, table.layers))}"
        )  # fmt: skip
        said.append(
            f"{table.model}: {layers}, {sum(table.tokens.values()):,} tokens ("
            f"{', '.join(table.domains)}), from [{table.source.partition('github.com/')[2]}]"
            f"({table.source}) at {table.commit[:7]}, {table.licence}. `{table.command}` makes the "
            "table."
        )
    return said


def as_json(choice: str) -> dict[str, Any]:
    """The numbers of the pictures on routing."""
    table, one = mapped(), one_expert()
    return {
        "text": choice,
        "model": table.model,
        "layers": table.layers,
        "fair_shares": fair_shares(choice).tolist(),
        "one_expert": {
            "model": one.model, "layer": one.layer, "expert": one.expert, "text": one.text,
            "chosen": one.chosen, "tokens": one.tokens, "share": one.share,
        },
        "busiest_expert_in_fair_shares": {model.model: model.times for model in models()},
        "sources": sources(),
    }  # fmt: skip
