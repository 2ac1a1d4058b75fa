"""Words on two runs whose territories are drawn on the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...balance import BALANCERS, Balancer, balancer_title
from ...data.planar import PLANAR_TASKS
from ...pictures.experts import expert_name
from ...routers import ROUTERS, Router, make_router

if TYPE_CHECKING:
    from ...training import TrainSettings
    from .plane_look import Look

HELD = 0.01  # share of the plane from which on an expert counts as holding ground
NEARLY_ALL = 0.9
CLOSE = 0.005  # losses that are nearer to each other are called equal


def about(task: str) -> str:
    """What there is to see, in a line."""
    planar = PLANAR_TASKS[task]
    learn = "learn to tell ● from ○" if planar.n_classes else "learn a map for each cloud of points"
    return (
        f"Two models {learn}, from one seed. Colour and letter say which expert answers a point. "
        "Press Play: who takes over?"
    )


def who_answers(look: Look, geometry: bool) -> str:
    """Words on one run's plane: who holds ground, how the points fare, and what the lines say."""
    share_E = look.share_E
    n_held, widest = int((share_E >= HELD).sum()), int(share_E.argmax())
    name, share = expert_name(widest), float(share_E[widest])
    if not share:
        words = "No expert answers anywhere."
    elif share >= NEARLY_ALL and look.n_experts > 1:
        words = f"{name} has taken over: it answers {_percent(share)} of the plane."
    else:
        words = (
            f"{n_held} of {look.n_experts} experts hold ground; "
            f"{name} answers {_percent(share)} of the plane."
        )
    nobody = 1 - float(share_E.sum())
    if share and nobody >= HELD:
        words += f" Nobody answers {_percent(nobody)}."
    if look.record is not None:
        busiest = float(look.record.share_E.max()) * look.n_experts
        words += f" Its busiest expert does {busiest:.1f} times its fair share of the work."
    if look.right is not None:
        words += f" {_percent(look.right)} of the points are right."
    if look.batch:
        words += f" It looks at whole batches: here at {look.batch} pixels from all over the plane."
    return f"{words} {_geometry(look)}" if geometry else words


def _geometry(look: Look) -> str:
    """Words on the borders in closed form, and on how they agree with the layer's own choice."""
    maps = look.territories
    if maps is None:
        return (
            "Where a point goes depends on more than a linear map of it, so its borders are "
            "no lines that could be computed beforehand."
        )
    agree = f"{look.differ} of {look.expert_P.size:,} pixels differ from the layer's own choice."
    if maps.straight:
        return f"All borders are straight lines, computed from the router's numbers: {agree}"
    assert look.bent is not None
    return (
        "The balancing bias moves and bends the borders: without it (dashed lines) "
        f"{_percent(look.bent / look.expert_P.size)} of the plane would have another expert. "
        f"With it in the sum, {agree}"
    )


def difference(a: Look, b: Look) -> str:
    """Words on what tells run B from run A."""
    differ = float((a.expert_P != b.expert_P).mean())
    if not differ:
        words = "A and B are the same everywhere: the same expert answers every pixel."
    else:
        words = f"Different experts answer {_percent(differ)} of the plane in A and B."
    if a.record is None or b.record is None:
        return words
    gap = b.record.mean_loss - a.record.mean_loss
    if abs(gap) < CLOSE:
        return f"{words} Their losses are less than {CLOSE:g} apart."
    better = "higher" if gap > 0 else "lower"
    return f"{words} B's loss is {abs(gap):.2f} {better} than A's."


def _percent(share: float) -> str:
    """A share as a whole percentage, with one decimal where that would hide all or nothing."""
    hides = 0 < share < 0.01 or 0.99 < share < 1
    return f"{share:.1%}" if hides else f"{share:.0%}"


def title(settings: TrainSettings) -> str:
    """A run's router and balancing."""
    return f"{ROUTERS[settings.router].title} · {balancer_title(settings.balance)}"


def missing(router: str) -> str:
    """Which balancing is not offered with a router, and why, as Markdown."""
    made = ROUTERS[router]()
    reasons: dict[str, list[str]] = {}
    for kind in BALANCERS.values():
        if not kind().fits(made):
            reasons.setdefault(_reason(kind(), made), []).append(kind.title)
    if not reasons:
        return f"**{made.title}** goes with all of them."
    rows = "".join(f"\n- {', '.join(titles)}: {why}." for why, titles in reasons.items())
    return f"Not offered with **{made.title}**:{rows}"


def _reason(balancer: Balancer, router: Router) -> str:
    """Why a balancer does not suit a router."""
    if balancer.needs and balancer.needs not in router.buffers:
        return "it steers a bias on the choice, which this router does not have"
    if balancer.needs_scores and not router.scored:
        return "it acts on a score for each expert, which this router does not give"
    if balancer.needs_specials and not router.specials:
        return "it is about experts that compute nothing, and this router has none"
    return "it is made for routers of another kind"


def on_k(routers: Sequence[str], k: int) -> list[str]:
    """Sentences on what the number of experts per point means to these routers."""
    said = []
    own = [ROUTERS[name].title for name in routers if "k" not in ROUTERS[name]().options()]
    if own:
        said.append(f"{_joined(own)}: decides by itself how many experts a point gets.")
    made = {name: make_router(name, k=k) for name in routers if ROUTERS[name].title not in own}
    dull = [router.title for router in made.values() if not router.gate_learns]
    if dull:
        said.append(f"{_joined(dull)}: with {k} the task teaches the router nothing.")
    return said


def _joined(titles: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(titles))
