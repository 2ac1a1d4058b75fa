"""The page on what was claimed of routing methods, tried here; made from studies in docs/studies/.

Every sentence on a result is computed from the rows of its study. The pages of the methods take
what concerns them (`measured`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from docs.generator.studies import Study, distinct
from moe.balance import BALANCERS, make_balancer
from moe.routers import ROUTERS
from moe.sweeps.report import Spread

from . import latent, studies
from .collapse import SAME, moves, number
from .methods import link, page_text, table
from .strength_chart import EVEN

PAGE = "tried.md"
TRAITS, SWITCH, RIPPLE = "traits", "switch", "ripple"
START, SIMBAL = "gate-start", "simbal"
NONE = "none"
VARIES = 0.05  # standard deviation of the number of experts from which tokens differ in it
CLAIMED = 0.36  # share of the steps that SimBal's authors save


def page() -> str:
    """Return the page."""
    names = [TRAITS, SWITCH, RIPPLE, START, SIMBAL, latent.LATENT]
    kept = ", ".join(f"docs/studies/{name}.jsonl" for name in names)
    sweeps = ", ".join(f"`moe sweep docs/studies/{name}.toml`" for name in names)
    again = " ".join(f"--study {name}" for name in names)
    return page_text(
        kept,
        "# Claims about routing, tried",
        "What papers and reports of 2025 and 2026 say of their routers, balancers and starts, "
        "tried on the tiny models of this project, several seeds each (mean ± standard deviation). "
        "A claim that does not show here may hold in a large model, and the other way round.",
        *_traits(studies.read(TRAITS)),
        *_switch(studies.read(SWITCH), studies.read(RIPPLE)),
        *_start(studies.read(START)),
        *_simbal(studies.read(SIMBAL)),
        *latent.section(studies.read(latent.LATENT)),
        "## Again",
        f'{sweeps} do the runs, `make pages ARGS="{again}"` writes this page.',
    )


# Dynamic, balanced, causal ---------------------------------------------------------------------


def holds(study: Study, **case: Any) -> dict[str, bool]:
    """Which of the three a router has with a balancer, on average over the seeds."""
    return {
        "dynamic": study.spread("spread", **case).mean >= VARIES,
        "balanced": study.spread("max_vio", **case).mean <= EVEN,
        "causal": study.spread("changed", **case).mean == 0,
    }


def lossless(balance: str) -> bool:
    """Whether a balancer adds no loss to that of the task."""
    balancer = type(make_balancer(balance))
    plain = BALANCERS[NONE]
    return (balancer._loss, balancer.param_loss) == (plain._loss, plain.param_loss)


def all_three(study: Study) -> list[tuple[str, str]]:
    """Router and balancer of each case that has all three."""
    cases = distinct(study.rows, "router", "balance")
    return [
        (router, balance)
        for router, balance in cases
        if all(holds(study, router=router, balance=balance).values())
    ]


def on_the_edge(study: Study) -> list[tuple[str, str]]:
    """Cases with the other two whose seeds lie on both sides of the bar on MaxVio."""
    found = []
    for router, balance in distinct(study.rows, "router", "balance"):
        case = {"router": router, "balance": balance}
        has, vio = holds(study, **case), [row["max_vio"] for row in study.own(**case)]
        if has["dynamic"] and has["causal"] and min(vio) <= EVEN < max(vio):
            found.append((router, balance))
    return found


def _traits(study: Study) -> list[str]:
    settings, found = study.settings, all_three(study)
    quiet = [case for case in found if lossless(case[1])]
    return [
        "## Dynamic, balanced and causal",
        "Expert Threshold's paper says of routers that they have two of three: the number of "
        "experts follows the token, the load is even without an auxiliary loss, and no later token "
        "matters. Here every router is trained alone and with its best balancer of the "
        f"[ablation](ablation.md), {len(study.seeds())} seeds, {settings['steps']} steps, "
        f"{settings['n_experts']} experts, no limit on room. *Dynamic*: the number of computing "
        f"experts of held-out tokens has a standard deviation of at least {VARIES:g}. *Balanced*: "
        f"the computing experts' MaxVio is at most {EVEN:g} on average over the last steps, as in "
        "[the rule for strengths](strengths.md). *Causal*: the [probe](methods/causality.md) finds "
        "no token that a later one moves, with the buffers that the balancer has left.",
        _traits_words(found, quiet, on_the_edge(study)),
        *_loss_words(study, found),
        _traits_table(study),
    ]


def _pairs(cases: Sequence[tuple[str, str]]) -> str:
    said = [f"`{router}`" + (f" with `{b}`" if b != NONE else " alone") for router, b in cases]
    return ", ".join(said)


def _traits_words(
    found: list[tuple[str, str]], quiet: list[tuple[str, str]], edge: list[tuple[str, str]]
) -> str:
    """Who has all three, what that says of the claim, and whose verdict other seeds may turn."""
    ours = ("expert_threshold", "cutoff_ema")
    if not found:
        return "No case has all three."
    words = f"All three have: {_pairs(found)}. "
    words += f"Without a loss beside the task's: {_pairs(quiet)}." if quiet else (
        "None of them does it without a loss beside the task's."
    )  # fmt: skip
    alone = found == [ours]
    missed = [case for case in edge if case not in found and lossless(case[1])]
    verdict = (
        "So Expert Threshold is the only one here, as claimed."
        if alone
        else "So Expert Threshold is the only one without such a loss"
        + (f"; in some seeds {_pairs(missed)} is one, too." if missed else ", as claimed.")
        if quiet == [ours]
        else "So Expert Threshold has all three, but not alone."
        if ours in found
        else "Expert Threshold itself is not among them here."
    )
    near = (
        f" Seeds lie on both sides of the bar on MaxVio with {_pairs(edge)}: there the mean "
        "decides."
        if edge
        else ""
    )
    return f"{words} {verdict}{near} Other balancers than these were not tried."


def _loss_words(study: Study, found: list[tuple[str, str]]) -> list[str]:
    """What having all three costs in loss: those cases in the order of it."""
    losses, experts = (
        {case: study.spread(name, router=case[0], balance=case[1]) for case in found}
        for name in ("held_out_loss", "experts")
    )
    order = sorted(found, key=lambda case: losses[case].mean)
    said = ", ".join(
        f"`{case[0]}` {number(losses[case], '.3f')} ({experts[case].mean:.1f})" for case in order
    )
    if len(order) < 2:
        return []
    return [
        "In the order of their held-out loss, with the experts that compute for a token in "
        f"brackets, since more of them cost more: {said}."
    ]


def _traits_table(study: Study) -> str:
    rows = []
    for router, balance in distinct(study.rows, "router", "balance"):
        case = {"router": router, "balance": balance}
        has = holds(study, **case)
        spread = {name: study.spread(name, **case) for name in ("experts", "spread", "max_vio")}
        rows.append(
            [
                link("methods/routers", router, up=""),
                link("methods/balancers", balance, up=""),
                *("yes" if has[name] else "no" for name in ("dynamic", "balanced", "causal")),
                f"{spread['experts'].mean:.2f} (spread {spread['spread'].mean:.2f})",
                number(spread["max_vio"]),
                number(study.spread("held_out_loss", **case), ".3f"),
            ]
        )
    head = ["Router", "Balancer", "Dynamic", "Balanced", "Causal"]
    return table([*head, "Experts a token", "MaxVio", "Held-out loss"], rows)


# When the text changes -------------------------------------------------------------------------


def directions(study: Study) -> list[dict[str, str]]:
    """The changes of text that were tried."""
    return [{"first": a, "then": b} for a, b in distinct(study.rows, "first", "then")]


def settled(study: Study, **case: Any) -> tuple[int, int]:
    """In how many runs the load got even again, and of how many."""
    own = study.own(**case)
    return sum(row["settling"] is not None for row in own), len(own)


def _switch(study: Study, frozen: Study) -> list[str]:
    settings, band = study.settings, study.settings["band"]
    parts = [
        "## When the text changes",
        f"A model learns one kind of text for {settings['before']} steps and another for "
        f"{settings['steps'] - settings['before']} more. The load is read from the same tokens at "
        "every step, so that it shows the balancer and the gate, and not the chance of batches. "
        "*Before* and *end* are MaxVio over the last steps of each text; *peak* is the largest "
        "after the change; *overshoot*, how far a load that was pushed off its fair share swings "
        "past it, in fair shares; *settling*, the steps until MaxVio stays "
        f"below {band:g}; *ripple*, the mean change of a load from step to step at the end. "
        f"Strengths are those of short runs; {len(study.seeds())} seeds. The router is "
        f"`{_main_router(study)}`{_other_routers(study)}.",
    ]
    for way in directions(study):
        parts += [
            f"### From {way['first'].title()} to {way['then'].title()}",
            _switch_words(study, way),
            _switch_table(study, way),
        ]
    return [
        *parts,
        "### On scores that stand still",
        "There nothing but the controller moves, and the ripple is its own "
        f"({frozen.settings['batches']:,} batches, {len(frozen.seeds())} sets of scores).",
        _ripple_words(frozen),
        _ripple_table(frozen),
    ]


def _main_router(study: Study) -> str:
    """The router of the run without a balancer, on which the balancers are compared."""
    return str(study.own(balance=NONE)[0]["router"])


def _other_routers(study: Study) -> str:
    cases = distinct(study.rows, "router", "balance")
    others = [case for case in cases if case[0] != _main_router(study)]
    return f"; {_pairs(others)} is another, which no balancer is compared with" if others else ""


def _switch_table(study: Study, way: dict[str, str]) -> str:
    rows = []
    for (balance,) in distinct(study.rows, "balance"):
        case = {"balance": balance, **way}
        n_even, n = settled(study, **case)
        time = study.spread("settling", **case)
        even = "–" if not n_even else f"{time.mean:.0f}" if n_even < 2 else number(time, ".0f")
        cells = [
            number(study.spread(name, **case))
            for name in ("level", "peak", "overshoot", "ripple", "end")
        ]
        cells.insert(3, f"{even} ({n_even} of {n})")
        loss = number(study.spread("held_out_loss", **case), ".3f")
        rows.append([link("methods/balancers", balance, up=""), *cells, loss])
    head = ["Balancer", "Before", "Peak", "Overshoot", "Settling, steps", "Ripple", "End"]
    return table([*head, "Held-out loss"], rows)


def _switch_words(study: Study, way: dict[str, str]) -> str:
    every = [name for (name,) in distinct(study.rows, "balance") if name != NONE]
    own = {row["balance"] for row in study.own(router=_main_router(study))}
    names = [name for name in every if name in own]

    def of(figure: str, name: str) -> Spread:
        return study.spread(figure, balance=name, **way)

    def first(figure: str, spec: str, sign: int = 1) -> str:
        """The one with the least (or most, with -1), and which differ from it by chance at most."""
        best = min(names, key=lambda name: sign * of(figure, name).mean)
        alike = [
            name for name in names
            if name != best and moves(of(figure, best), of(figure, name)) == SAME
        ]  # fmt: skip
        said = f"`{best}` ({number(of(figure, best), spec)}"
        return said + (f"; within the spread of it {_named(alike)})" if alike else ")")

    even = [name for name in every if settled(study, balance=name, **way)[0]]
    (lump,) = {row["lump"] for row in study.own(**way)}
    sign, soft = of("ripple", "bias"), of("ripple", "smebu")
    fair = 1 / study.settings["n_experts"] * study.settings["k"]
    return (
        f"In fair shares, loads swing least past their own with {first('overshoot', '.2f')} "
        f"and ripple least in the end with {first('ripple', '.3f')}, most with "
        f"{first('ripple', '.3f', -1)}. From the sign rule to SMEBU "
        f"the ripple {moves(sign, soft)} ({number(sign, '.3f')} to {number(soft, '.3f')}). In at "
        f"least one seed the load got even again with {_named(even)}. One window in "
        f"{1 / lump:.0f} of the new text is the same, and its tokens choose alike: no gate can "
        f"divide them, while a fair share is one token in {1 / fair:.0f}."
    )


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _ripple_table(study: Study) -> str:
    rows = []
    for (balance,) in distinct(study.rows, "balance"):
        own = study.own(balance=balance)
        even = [row["settled_after"] for row in own if row["settled_after"] is not None]
        rows.append(
            [
                f"`{balance}`",
                number(study.spread("swing", balance=balance), ".4f"),
                number(study.spread("steady_error", balance=balance), ".3f"),
                f"{np.mean(even):.0f} ({len(even)} of {len(own)})"
                if even
                else f"– (0 of {len(own)})",
            ]
        )
    return table(["Controller", "Ripple", "MaxVio at the end", "Batches to settle"], rows)


def _ripple_words(study: Study) -> str:
    sign, hard, soft, steep = (
        study.spread("swing", balance=name)
        for name in (
            "bias(rate=0.01)", "smebu(rate=0.01, momentum=0.0)", "smebu(rate=0.01)",
            "smebu(rate=0.01, kappa=20.0)",
        )
    )  # fmt: skip
    return (
        f"At the same longest step the sign rule's ripple is {sign.mean:.3f} fair shares; with "
        f"soft steps and no momentum it is {hard.mean:.3f}, with both {soft.mean:.3f}, and with "
        f"steps ten times as steep and momentum {steep.mean:.3f}. {_taken(sign, hard, steep)}"
    )


def _taken(sign: Spread, hard: Spread, steep: Spread) -> str:
    """What soft steps alone take away of the sign rule's ripple, and what momentum does."""
    said = [
        f"{title} takes away {1 - one.mean / sign.mean:.0%}"
        for title, one in (("the soft step alone", hard), ("momentum on the steep steps", steep))
        if moves(sign, one) == "falls"
    ]
    if not said:
        return "Neither takes away more of it than the spread."
    return f"So {' and '.join(said)} of it; momentum on the sign rule itself was not tried."


# How a gate starts -----------------------------------------------------------------------------


def _start(study: Study) -> list[str]:
    kinds = [kind for (kind,) in distinct(study.rows, "gate_init")]
    rows = []
    for n_experts, steps in distinct(study.rows, "n_experts", "steps"):
        for kind in kinds:
            case = {"n_experts": n_experts, "steps": steps, "gate_init": kind}
            rows.append(
                [
                    str(n_experts), str(steps), f"`{kind}`",
                    number(study.spread("max_vio", **case)),
                    number(study.spread("held_out_loss", **case), ".3f") if steps > 1 else "–",
                ]
            )  # fmt: skip
    return [
        "## A first step that seeds do not decide?",
        "The report on Qwen3-Next says that normalising the router's parameters at initialisation "
        "lets every expert be chosen without bias early on, and takes out noise of the start. It "
        "does not say how they are normalised; here every expert's column of the gate starts at "
        f"the same length (`moe train --gate-init equal`). {len(study.seeds())} seeds; MaxVio of "
        "step 1 is that of the fresh gate.",
        _start_words(study),
        table(["Experts", "Steps", "Start", "MaxVio", "Held-out loss"], rows),
    ]


def _start_words(study: Study) -> str:
    said = []
    for (n_experts,) in distinct(study.own(steps=1), "n_experts"):
        plain, equal = (
            study.spread("max_vio", n_experts=n_experts, steps=1, gate_init=kind)
            for kind in ("normal", "equal")
        )
        said.append(
            f"with {n_experts} experts MaxVio {moves(plain, equal)} ({number(plain)} to "
            f"{number(equal)}), and its deviation over the seeds, {plain.deviation:.2f} and "
            f"{equal.deviation:.2f}, {_deviation_moves(plain, equal)}"
        )
    (steps,) = {row["steps"] for row in study.rows} - {1}
    plain, equal = (
        study.spread("held_out_loss", steps=steps, gate_init=kind) for kind in ("normal", "equal")
    )
    return (
        f"At the first step, {'; '.join(said)}. After {steps} steps the loss {moves(plain, equal)} "
        f"({number(plain, '.3f')} and {number(equal, '.3f')})."
    )


def _deviation_moves(before: Spread, after: Spread) -> str:
    """How a deviation changes: that of n seeds is itself uncertain by 1 / sqrt(2 n - 2) of it."""
    error = sum(one.deviation / np.sqrt(2 * one.n - 2) for one in (before, after))
    if abs(after.deviation - before.deviation) <= error:
        return f"stays within what {before.n} seeds can tell apart"
    return "rises" if after.deviation > before.deviation else "falls"


# SimBal ----------------------------------------------------------------------------------------


def steps_to_reach(curve: Sequence[tuple[float, float]], loss: float) -> float | None:
    """Steps after which a falling curve (steps, loss) is at a loss, between points on a line.

    None if it does not get there.
    """
    for (s0, l0), (s1, l1) in pairwise(curve):
        if l1 <= loss <= l0:
            return s0 + (s1 - s0) * (l0 - loss) / (l0 - l1) if l0 > l1 else s1
    return curve[0][0] if curve[0][1] <= loss else None


def curve_of(study: Study, seed: int, **case: Any) -> list[tuple[float, float]]:
    """Steps and held-out loss of one seed, in order."""
    own = study.own(seed=seed, **case)
    return sorted((float(row["steps"]), float(row["held_out_loss"])) for row in own)


def saved(study: Study, case: dict[str, Any], to: dict[str, Any]) -> list[float | None]:
    """Share of the other's steps that a case saves to the other's last loss, seed by seed."""
    shares = []
    for seed in study.seeds():
        goal = curve_of(study, seed, **to)[-1]
        needed = steps_to_reach(curve_of(study, seed, **case), goal[1])
        shares.append(None if needed is None else 1 - needed / goal[0])
    return shares


def _cases(study: Study, balance: str) -> list[dict[str, Any]]:
    own = study.own(balance=balance)
    return [{"balance": balance, "balance_rate": rate} for (rate,) in distinct(own, "balance_rate")]


def _simbal(study: Study) -> list[str]:
    longest = max(row["steps"] for row in study.rows)
    rows = []
    for case in [*_cases(study, "aux"), *_cases(study, "simbal")]:
        ends = study.spread("held_out_loss", steps=longest, **case)
        rows.append(
            [
                link("methods/balancers", case["balance"], up=""),
                f"{case['balance_rate']:g}",
                number(ends, ".3f"),
                number(study.spread("max_vio", steps=longest, **case)),
            ]
        )
    return [
        "## Faster by an orthonormal gate?",
        "SimBal's authors report 36 % fewer steps to the loss that an auxiliary loss of 0.01 ends "
        "with, in models of up to 3 billion parameters. Here both train for up to "
        f"{longest} steps, {len(study.seeds())} seeds; SimBal starts orthonormal, as theirs does.",
        _simbal_words(study),
        table(["Balancer", "Strength", f"Held-out loss, {longest} steps", "MaxVio"], rows),
    ]


def _simbal_words(study: Study) -> str:
    said = []
    for to in _cases(study, "aux"):
        for case in _cases(study, "simbal"):
            shares = saved(study, case, to)
            reached = [share for share in shares if share is not None]
            words = (
                f"in {1 - Spread.of(reached).mean:.0%} of its steps on average"
                if len(reached) == len(shares)
                else f"in {len(reached)} of {len(shares)} seeds"
            )
            said.append(
                f"at {case['balance_rate']:g} to the last loss of `aux` at "
                f"{to['balance_rate']:g} {words}"
            )
    shares = [
        share
        for case in _cases(study, "simbal")
        for share in saved(study, case, _cases(study, "aux")[0])
    ]
    near = [share for share in shares if share is not None and share >= CLAIMED]
    verdict = (
        "The 36 % show here in no seed"
        if not near
        else f"The 36 % show here in {len(near)} of {len(shares)} runs"
    )
    return f"SimBal gets {'; '.join(said)}. {verdict} against the authors' own comparison."


# What the pages of the methods take ------------------------------------------------------------


def _of_threshold() -> str:
    study = studies.read(TRAITS)
    case = {"router": "expert_threshold", "balance": "cutoff_ema"}
    found = all_three(study)
    other = [one for one in found if one != (case["router"], case["balance"])]
    has = [name for name, yes in holds(study, **case).items() if yes]
    more = (
        f" So {'is' if len(other) == 1 else 'are'} {_pairs(other)}."
        if other and len(has) == 3
        else ""
    )
    return (
        f"Trained on text with `cutoff_ema` it is {', '.join(has) or 'none of the three'}: "
        f"tokens get {study.spread('experts', **case).mean:.2f} experts with a spread of "
        f"{study.spread('spread', **case).mean:.2f}, MaxVio is "
        f"{number(study.spread('max_vio', **case))}, and no later token moves an earlier one.{more}"
    )


def _of_null() -> str:
    study = studies.read(TRAITS)
    said = []
    for router, balance in distinct(study.rows, "router", "balance"):
        if router == "null_experts":
            case = {"router": router, "balance": balance}
            said.append(
                f"{'without a balancer' if balance == NONE else f'with `{balance}`'} tokens get "
                f"{study.spread('experts', **case).mean:.2f} computing experts with a spread of "
                f"{study.spread('spread', **case).mean:.2f} at a MaxVio of "
                f"{number(study.spread('max_vio', **case))}"
            )
    return f"Trained on text, {'; '.join(said)}."


def _of_smebu() -> str:
    return (
        f"On scores that stand still: {_ripple_words(studies.read(RIPPLE))[0].lower()}"
        + (_ripple_words(studies.read(RIPPLE))[1:])
    )


def _of_simbal() -> str:
    return _simbal_words(studies.read(SIMBAL))


MEASURED: dict[str, Callable[[], str]] = {
    "expert_threshold": _of_threshold,
    "cutoff_ema": _of_threshold,
    "null_experts": _of_null,
    "smebu": _of_smebu,
    "simbal": _of_simbal,
}


def measured(name: str) -> str:
    """What was measured of a method, for its own page; empty if nothing was."""
    if name not in MEASURED:
        return ""
    return f"{MEASURED[name]()} More on [claims about routing, tried](../../{PAGE})."


assert set(MEASURED) <= {*ROUTERS, *BALANCERS}
