"""What the results of the game come to, in words."""

from __future__ import annotations

from collections.abc import Sequence

from .game import Result


def words(results: Sequence[Result]) -> str:
    """The visitor's result beside the router's, or what there is to beat if she has not played."""
    by_name = {result.who: result for result in results}
    router, bonus = by_name["Router alone"], by_name["Router with a bonus"]
    if "You" not in by_name:
        return (
            f"On this text the router alone makes {router.points} of 100 points, and with a "
            f"bonus for experts that have too little work {bonus.points}. "
            f"It leaves {_characters(router.lost)} without an expert."
        )
    you = by_name["You"]
    if you.points > max(router.points, bonus.points):
        verdict = "You did better than the router"
    elif you.points >= min(router.points, bonus.points):
        verdict = "You are about as good as the router"
    else:
        verdict = "The router did better"
    return (
        f"You made {you.points} of 100 points and left {_characters(you.lost)} without an expert. "
        f"{verdict}: alone it makes {router.points} and leaves {_characters(router.lost)}; with a "
        f"bonus it makes {bonus.points} and leaves {_characters(bonus.lost)}."
    )


def _characters(count: int) -> str:
    return {0: "no character", 1: "1 character"}.get(count, f"{count} characters")


def rows(results: Sequence[Result]) -> list[dict[str, str]]:
    """The results as rows of a table."""
    return [
        {
            "": result.who,
            "Points": str(result.points),
            "Left without an expert": str(result.lost),
            "Busiest expert above its fair share": f"{result.max_vio:.0%}",
            "Loss (lower is better)": f"{result.loss:.2f}",
        }
        for result in results
    ]
