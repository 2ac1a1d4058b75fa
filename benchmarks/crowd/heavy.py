"""The heaviest runs that a visitor can ask for, beside one who moves a slider."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Any

from .client import Answer, Visitor
from .figures import Waiting
from .visits import Meeting, Told

RUNS = (
    "balance?steps=600&experts=64&k=8&seed={seed}",
    "savings?experts=48&k=16&width=256&model=256&seed={seed}",
)


async def heavy_visits(host: str, until: float) -> dict[str, Any]:
    """Ask for one heavy run after the other, and move a slider on the first page meanwhile."""
    told = [Told(page) for page in RUNS]
    tasks = [asyncio.create_task(_heavy(one, host, until)) for one in told]
    answers: list[Answer] = []
    async with Meeting(probe := Told("start")), Visitor(host, "start") as visitor:
        await visitor.open()
        while time.monotonic() < until:
            slider = next(c for c in visitor.controls.values() if c.kind == "slider")
            low, high = slider.proto.min, slider.proto.max
            share = (len(answers) * 0.37) % 1
            step = slider.proto.step or 1
            value = low + round(share * (high - low) / step) * step
            answers.append(await visitor.change(slider, [value]))
            await asyncio.sleep(0.5)
    await asyncio.gather(*tasks)
    return {
        "slider beside them": asdict(Waiting.of(answers)),
        "runs": {one.page.partition("?")[0]: len(one.answers) for one in told},
        "errors": sorted({e for one in [*told, probe] for e in one.errors}),
    }


async def _heavy(told: Told, host: str, until: float) -> None:
    seed = 0
    while time.monotonic() < until:
        seed += 1
        async with Meeting(told), Visitor(host, told.page.format(seed=seed)) as visitor:
            answer = await asyncio.wait_for(visitor.open(), 300)
            for control in list(visitor.controls.values()):
                if control.kind == "button" and "Measure" in control.proto.label:
                    answer = await asyncio.wait_for(
                        visitor.press(control.proto.id, control.fragment), 300
                    )
            told.answers.append((time.monotonic(), answer))
            told.errors += answer.errors
        await asyncio.sleep(0.5)
