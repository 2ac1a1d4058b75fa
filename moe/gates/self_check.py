"""The check checked: each bug turned on in the library's own gate, and found there."""

from __future__ import annotations

from dataclasses import dataclass

from ..routers import Router, make_router
from .bugs import GATE_BUGS, OwnGate
from .check import check_gate


@dataclass(frozen=True)
class BugShown:
    """One line of the self-test: the library's gate with and without a bug.

    Attributes
    ----------
    bug, title, metric, router
        The bug, what exposes it, and the router that it was turned on in.
    clean_value, buggy_value, threshold
        The metric without and with the bug, and where it is found.
    detected
        Whether the check found this bug, no other, and none in the clean gate.
    """

    bug: str
    title: str
    metric: str
    router: str
    clean_value: float
    buggy_value: float
    threshold: float
    detected: bool

    def row(self) -> dict[str, str]:
        """The line, formatted, for a table."""
        return {
            "bug": self.title,
            "router": self.router,
            "metric": self.metric,
            "without": f"{self.clean_value:.1e}",
            "with": f"{self.buggy_value:.2f}",
            "found": "yes" if self.detected else "no",
        }


def demo_router(bug: str) -> Router:
    """A router of the library in which a bug can show."""
    if bug in ("bias_in_weights", "no_renormalize", "mask_zero", "group_score"):
        return make_router("deepseek_v3", k=4, n_group=4, topk_group=2)
    return make_router("topk", k=2)


def show_bugs() -> list[BugShown]:
    """Turn each bug on in the library's own gate and check it."""
    shown = []
    for bug in GATE_BUGS.values():
        router = demo_router(bug.name)
        gates = OwnGate(router), OwnGate(router, bug.name)
        reports = [check_gate(gate, like=router, aux_loss=gate.aux_loss) for gate in gates]
        clean, buggy = (report.finding(bug.name) for report in reports)
        assert clean.value is not None and buggy.value is not None
        shown.append(
            BugShown(
                bug=bug.name,
                title=bug.title,
                metric=bug.metric,
                router=router.name,
                clean_value=clean.value,
                buggy_value=buggy.value,
                threshold=buggy.threshold,
                detected=reports[0].clean and reports[1].bugs == (bug.name,),
            )
        )
    return shown
