"""Any two routers on the same sentence, gate and seed: who changes its mind, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ... import metrics
from ...capacity import DROP_POLICIES, NO_LIMIT, Capacity
from ...layer import MoELayer
from ...numbers import plural
from ...pictures.experts import expert_name
from ...routers import ROUTERS, Router, make_router
from ...routing import Routing
from ...settings import Settings, option
from ..shared.first_model import FirstModel, sentence_windows

A_ONLY, B_ONLY, BOTH = "only A", "only B", "both"
POLICIES = tuple(policy for policy in DROP_POLICIES if policy != NO_LIMIT.drop)


@dataclass(frozen=True)
class Dial:
    """A router's option that people may turn: its label and its range.

    Whole numbers if `step` is one.
    """

    label: str
    low: float
    high: float
    step: float


DIALS = {
    "k": Dial("Experts per character", 1, 8, 1),
    "factor": Dial("Experts per character, on average", 0.25, 4.0, 0.25),
    "p": Dial("Share of the probability to reach", 0.05, 1.0, 0.05),
    "threshold": Dial("Least share that lets an expert in", 0.0, 1.0, 0.05),
}


@dataclass(frozen=True)
class Choice:
    """A router by registry name, with those of its options that differ from the defaults."""

    router: str
    options: tuple[tuple[str, float], ...] = ()

    def make(self) -> Router:
        """Make the router with these options."""
        return make_router(self.router, **dict(self.options))


@dataclass(frozen=True)
class SideSettings(Settings):
    """Two routers and what both share.

    Attributes
    ----------
    a, b
        The routers.
    room, drop
        Room per expert in fair shares (None: no limit), and who is dropped when it is full.
    noise
        Let routers roll dice as they do in training.
    seed
        Of the dice, and of parameters that the trained gate has not.
    """

    a: Choice = Choice("topk")
    b: Choice = Choice("expert_choice")
    room: float | None = option(None, low=0, open_low=True)
    drop: str = POLICIES[0]
    noise: bool = False
    seed: int = 0

    def capacity(self) -> Capacity:
        """Return the limit on the room of every expert."""
        return NO_LIMIT if self.room is None else Capacity(self.room, self.drop)


@dataclass(frozen=True, eq=False)
class Side:
    """What one router did with the sentence.

    Attributes
    ----------
    router, routing
        The router, and where every character went.
    weight_NE
        Weights of what got in.
    fresh
        Names of the router's parameters that are fresh: the trained gate has none of this kind.
    looks_ahead
        Whether a later character may change where an earlier one goes.
    """

    router: Router
    routing: Routing
    weight_NE: np.ndarray
    fresh: tuple[str, ...]
    looks_ahead: bool

    @property
    def chosen_NE(self) -> np.ndarray:
        """Which character goes to which expert, (N, E) bool."""
        chosen_NE = np.zeros((self.routing.n_tokens, self.routing.n_experts), bool)
        kept_A = self.routing.kept_A
        chosen_NE[self.routing.token_A[kept_A], self.routing.expert_A[kept_A]] = True
        return chosen_NE

    @property
    def share_E(self) -> np.ndarray:
        """Kept assignments of each expert over all that were asked for, (E,)."""
        return np.asarray(self.routing.load / max(self.routing.n_assignments, 1))

    @property
    def asked_E(self) -> np.ndarray:
        """Assignments asked for of each expert over all, (E,)."""
        return np.asarray(self.routing.proposed_load / max(self.routing.n_assignments, 1))

    @property
    def dropped(self) -> int:
        """Number of choices that a full expert turned away."""
        return self.routing.dropped

    @property
    def unserved(self) -> int:
        """Number of characters that no expert works on."""
        return int((~self.chosen_NE.any(axis=1)).sum())

    def choices(self) -> Iterator[tuple[int, int, float, bool]]:
        """Character, expert, weight, and whether it got in, of every choice."""
        r = self.routing
        columns = (r.token_A, r.expert_A, r.weight_A, r.kept_A)
        return zip(*(column_A.tolist() for column_A in columns), strict=True)

    def experts_words(self) -> list[str]:
        """Each character's experts with their weights, best first."""
        words: list[list[str]] = [[] for _ in range(self.routing.n_tokens)]
        for n, e, weight, kept in self.choices():
            words[n].append(f"{expert_name(e)} ({weight:.2f}{'' if kept else ', dropped'})")
        return [", ".join(experts) or "none" for experts in words]

    def sight_words(self) -> str:
        """Whether the router looks ahead, in words for beginners."""
        if self.looks_ahead and self.router.causal:
            return (
                "Its rule looks back only, but with this limit a later character can take an "
                "earlier one's place in a full expert."
            )
        if self.looks_ahead:
            return (
                "It may look at later characters: the end of the sentence can change where its "
                "beginning goes, which a model that writes cannot do."
            )
        return "It looks back only: no later character changes where an earlier one goes."

    def origin_words(self) -> str:
        """Which of the router's parameters were trained, in words."""
        if not self.router.projections:
            return "It has no gate: a fixed table decides."
        if "gate_DE" in self.fresh:
            return "Its gate is of another shape than the trained one, so it is untrained."
        rest = "; what else it learns is untrained" if self.fresh else ""
        return f"Its gate is the trained one{rest}."


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Two routers on one sentence.

    Attributes
    ----------
    tokens
        Printable characters.
    a, b
        What each router did.
    changed_N
        Characters whose set of experts differs, (N,) bool.
    counts
        Choices that are only A's, only B's, and both's.
    """

    settings: SideSettings
    tokens: list[str]
    a: Side
    b: Side
    changed_N: np.ndarray
    counts: dict[str, int]

    def differences(self) -> list[tuple[int, int, str]]:
        """Character, expert and whose choice it is, of every choice of either."""
        a_NE, b_NE = self.a.chosen_NE, self.b.chosen_NE
        whose_NE = np.where(a_NE & b_NE, BOTH, np.where(a_NE, A_ONLY, B_ONLY))
        return [(int(n), int(e), str(whose_NE[n, e])) for n, e in np.argwhere(a_NE | b_NE)]

    def words(self) -> str:
        """What changes between both, in a few sentences."""
        sides = (("A", self.a), ("B", self.b))
        busiest = [f"{name}'s busiest expert has {s.share_E.max():.1%}" for name, s in sides]
        fair = 1 / self.a.routing.n_experts
        sentences = [
            self.changed_words(),
            f"{busiest[0]} of the work, {busiest[1]}; fair would be {fair:.1%}.",
        ]
        for name, side in sides:
            if side.dropped:
                sentences.append(f"{name} drops {plural(side.dropped, 'choice')}.")
            if side.unserved:
                left_out = plural(side.unserved, "character")
                sentences.append(f"{name} leaves {left_out} without any expert.")
        return " ".join(sentences)

    def changed_words(self) -> str:
        """How many characters change their experts, in words."""
        changed, total = int(self.changed_N.sum()), len(self.tokens)
        if not changed:
            gap = float(np.abs(self.a.weight_NE - self.b.weight_NE).max())
            if gap < 1e-6:
                return "Both do just the same: the same experts with the same weights."
            return f"All {total} characters go to the same experts; only the weights differ."
        go = "goes" if changed == 1 else "go"
        return f"{changed} of {total} characters {go} to other experts."

    def rows(self) -> list[dict[str, str]]:
        """Both routers' figures, formatted, for a table."""
        sides = (self.a, self.b)
        figures: dict[str, list[str]] = {
            "Experts per character": [_spread(s.chosen_NE.sum(axis=1), "d") for s in sides],
            "A character's weights add up to": [
                _spread(s.weight_NE.sum(axis=1), ".2f") for s in sides
            ],
            "Busiest expert's share of the work": [f"{s.share_E.max():.1%}" for s in sides],
            "Idle experts": [str(metrics.dead_experts(s.routing.load)) for s in sides],
            "Characters without any expert": [str(s.unserved) for s in sides],
            "Choices dropped": [f"{s.dropped} of {s.routing.n_assignments}" for s in sides],
            "May look at later characters": ["yes" if s.looks_ahead else "no" for s in sides],
        }
        if any(s.router.specials for s in sides):
            figures["Experts that compute nothing (the last ones)"] = [
                str(len(s.router.specials)) for s in sides
            ]
        return [{"": text, "A": a, "B": b} for text, (a, b) in figures.items()]


def _spread(value_N: np.ndarray, spec: str) -> str:
    low, high, mean = value_N.min(), value_N.max(), value_N.mean()
    if high - low < 1e-6:
        return format(low, spec)
    return f"{format(low, spec)} to {format(high, spec)}, mean {mean:.2f}"


def dials(router: str) -> dict[str, tuple[Dial, float]]:
    """Options of a router that have a dial, with their defaults."""
    options = make_router(router).options()
    return {name: (DIALS[name], value) for name, value in options.items() if name in DIALS}


def router_titles() -> dict[str, str]:
    """Registry name of each router by its title, in the registry's order."""
    return {router.title: name for name, router in ROUTERS.items()}


def put_side_by_side(model: FirstModel, sentence: str, settings: SideSettings) -> SideBySide:
    """Route a sentence with both routers.

    Parameters
    ----------
    model
        The first page's model: its vectors of the characters, and its trained gate.
    sentence
        At most `MAX_SENTENCE` bytes.
    settings
        Both routers and what they share.

    Raises
    ------
    ValueError
        If the sentence is not allowed, or an option does not fit.
    """
    tokens, window_NC = sentence_windows(model.trainer, sentence)
    x_ND = model.trainer.embed(window_NC)
    a, b = (
        _route(model, x_ND, window_NC[:, -1], choice, settings)
        for choice in (settings.a, settings.b)
    )
    a_NE, b_NE = a.chosen_NE, b.chosen_NE
    counts = {A_ONLY: a_NE & ~b_NE, B_ONLY: b_NE & ~a_NE, BOTH: a_NE & b_NE}
    return SideBySide(
        settings=settings,
        tokens=tokens,
        a=a,
        b=b,
        changed_N=(a_NE != b_NE).any(axis=1),
        counts={name: int(chosen_NE.sum()) for name, chosen_NE in counts.items()},
    )


def _route(
    model: FirstModel, x_ND: np.ndarray, token_ids: np.ndarray, choice: Choice, shared: SideSettings
) -> Side:
    trained = model.trainer.layer
    # Only its gate is used, so the experts may be as narrow as can be.
    layer = MoELayer.init(
        trained.d_model,
        1,
        trained.n_experts,
        router=choice.make(),
        seed=shared.seed,
        capacity=shared.capacity(),
    )
    gate_DE = trained.params["gate_DE"]
    initial = layer.router.init_params(
        trained.d_model, trained.n_experts, np.random.default_rng(shared.seed)
    )
    fresh = [name for name in initial if name != "gate_DE" or initial[name].shape != gate_DE.shape]
    if "gate_DE" in initial and "gate_DE" not in fresh:
        layer.params["gate_DE"] = gate_DE
    rng = np.random.default_rng(shared.seed) if shared.noise else None
    routing = layer.route(x_ND, token_ids, rng)
    if routing.dispatch_NS is not None:  # slots mix all characters, so that no expert is full
        routing = routing.with_kept(np.ones(routing.n_assignments, bool))
    return Side(
        router=layer.router,
        routing=routing,
        weight_NE=routing.combine(),
        fresh=tuple(fresh),
        looks_ahead=not (layer.router.causal and layer.capacity.causal),
    )
