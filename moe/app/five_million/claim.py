"""Other trainings under the same assumptions, and how one lands at "$50-100M"."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...cost import LEFT_OUT, MODELS, Range, TrainingCost
from ...cost.checks import V3_HOURS, check_numbers
from ...numbers import count, dollars
from .story import V3, from_to, published_dollars

LLAMA = "llama-3.1-405b"
CLAIM = Range(50e6, 75e6, 100e6)  # as the news had it; no source was found for it


@dataclass(frozen=True)
class OnRecord:
    """A public statement of somebody who knows about the cost of a training.

    Attributes
    ----------
    who, when
        The speaker and the date.
    statement
        A clause that goes on after "said that".
    source, check
        Where the statement is found; 'second-hand' if we read it in another's report only.
    """

    who: str
    when: str
    statement: str
    source: str
    check: str


ON_RECORD = (
    OnRecord(
        "Sam Altman of OpenAI",
        "April 2023",
        "training GPT-4 had cost more than $100 million",
        "Wired, 17 April 2023, on an event at MIT",
        "second-hand",
    ),
    OnRecord(
        "Dario Amodei of Anthropic",
        "29 January 2025",
        "training Claude 3.5 Sonnet had cost “a few $10M's”, and that DeepSeek's saving is “not "
        "anywhere near the ratios people have suggested”",
        "his essay On DeepSeek and Export Controls, as quoted by the-decoder.com",
        "second-hand",
    ),
)


def on_record_words() -> str:
    """The statements on record, with speaker, date and place."""
    return " ".join(
        f"{record.who} said {'in' if record.when[0].isalpha() else 'on'} {record.when} that "
        f"{record.statement} ({record.source})."
        for record in ON_RECORD
    )


@dataclass(frozen=True)
class Compared:
    """A model's computed cost beside its published hours, both at the same rent.

    Attributes
    ----------
    gpu_hours, dollars
        Computed; the range is that of the utilisation alone.
    published_hours, published
        Hours as published, and their rent.
    mfu
        Utilisation that the published hours mean.
    """

    model: str
    gpu: str
    gpu_hours: Range
    dollars: Range
    published_hours: float
    published: float
    mfu: float

    @property
    def within(self) -> bool:
        """Whether the computed range holds the published hours."""
        return self.gpu_hours.holds(self.published_hours)


def compared(cost: TrainingCost) -> list[Compared]:
    """Every model with published tokens and hours, on its own GPU and 16-bit peak."""
    rent = cost.dollars_per_hour.mid
    rows = []
    for key, model in MODELS.items():
        if model.gpu_hours and model.training_tokens:
            training = replace(
                cost.with_model(key),
                gpu=model.gpu,
                precision="bf16",
                extra_hours=model.other_gpu_hours,
            )
            hours = training.result().gpu_hours
            rows.append(
                Compared(
                    model=model.name,
                    gpu=training.hardware.name,
                    gpu_hours=hours,
                    dollars=hours.map(lambda value: value * rent),
                    published_hours=model.gpu_hours,
                    published=model.gpu_hours * rent,
                    mfu=training.mfu_of_hours(model.pretraining_hours),
                )
            )
    return sorted(rows, key=lambda row: row.published)


def compared_words(rows: list[Compared], rent: float) -> str:
    """How many published hours the ranges hold, and which they miss."""
    outside = [
        f"{row.model} (hours that mean {row.mfu:.0%} of the peak)" for row in rows if not row.within
    ]
    held = f"{len(rows) - len(outside)} of {len(rows)}"
    missed = f" They miss those of {', '.join(outside)}." if outside else ""
    return (
        f"At {dollars(rent, 3)} an hour for every chip, the computed ranges hold {held} published "
        f"figures.{missed}"
    )


def why_8b_differs() -> str:
    """Why Llama-3.1-8B's published hours lie above every range."""
    notes = {check.what: check.note for check in check_numbers()}
    note = next(note for what, note in notes.items() if what.startswith("Llama-3.1-8B"))
    return f"Llama-3.1-8B: {note.removeprefix('differs: below the range, ')}"


def compared_table(rows: list[Compared]) -> list[dict[str, str]]:
    """Computed and published figures of every model as rows of a table."""
    return [
        {
            "Model": row.model,
            "Chip": row.gpu,
            "Hours computed": from_to(row.gpu_hours, count),
            "Hours published": count(row.published_hours, 4),
            "Rent computed": from_to(row.dollars),
            "Rent of the published hours": dollars(row.published, 3),
            "Share of peak that they mean": f"{row.mfu:.1%}",
        }
        for row in rows
    ]


@dataclass(frozen=True)
class Way:
    """A way of counting that may reach the claim: its dollars at low, usual and high rent."""

    name: str
    how: str
    dollars: Range

    @property
    def lands(self) -> bool:
        """Whether its range meets the claimed one."""
        return self.dollars.low <= CLAIM.high and self.dollars.high >= CLAIM.low


def ways(cost: TrainingCost) -> list[Way]:
    """Ways of counting, from DeepSeek's own to those that land at $50-100M."""
    rent = cost.dollars_per_hour
    llama, v3 = MODELS[LLAMA], MODELS[V3]
    of: dict[str, Any] = {"context": 4096, "causal": True, "training": True}
    dense = V3_HOURS[0] * llama.flops_per_token(**of) / v3.flops_per_token(**of)
    trials = next(item for item in LEFT_OUT if item.key == "trials").dollars(published_dollars())
    assert trials
    total = trials.map(lambda value: value + published_dollars())

    def rented(hours: float) -> Range:
        return rent.map(lambda price: price * hours)

    return [
        Way("DeepSeek-V3, final run", f"{count(sum(V3_HOURS), 4)} hours",
            rented(sum(V3_HOURS))),
        Way("DeepSeek-V3 with trial runs", "a guess: 2 to 4 times more",
            total),
        Way("A dense 405B model, V3's text", f"{count(dense)} hours",
            rented(dense)),
        Way("Llama-3.1-405B, final run", f"{count(llama.gpu_hours, 4)} hours",
            rented(llama.gpu_hours)),
    ]  # fmt: skip


def ways_words(ways: list[Way]) -> str:
    """How the claimed figure can be reached, and what makes the difference."""
    llama, v3 = MODELS[LLAMA], MODELS[V3]
    of: dict[str, Any] = {"context": 4096, "causal": True, "training": True}
    work = (
        llama.flops_per_token(**of) * llama.training_tokens
        / (v3.flops_per_token(**of) * v3.training_tokens)
    )  # fmt: skip
    hours = llama.pretraining_hours / v3.pretraining_hours
    landing = " and ".join(f"“{way.name}”" for way in ways if way.lands)
    reached = f"It can be reached: see {landing}."
    if not landing:
        reached = "At these rents none of these ways reaches it."
    each = hours / work
    faster = f"{max(each, 1 / each):.2f} times as much"
    whose = f"an hour of V3's chips did {faster} of it as one of {llama.name}'s"
    if each < 1:
        whose = f"an hour of {llama.name}'s chips did {faster} of it as one of V3's"
    return (
        f"No source was found for the claim that others spend {from_to(CLAIM)}. {reached} "
        f"{llama.name} took {hours:.1f} times the chip-hours of V3's long run and did "
        f"{work:.1f} times the arithmetic: {whose}. {on_record_words()}"
    )
