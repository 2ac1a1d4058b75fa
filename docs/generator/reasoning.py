"""The page on rewards, thinking and teachers, made from three studies in docs/studies/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from docs.generator.studies import Study
from moe.lm.reason import BEST, COLD, RL
from moe.studies.distilling import Interval
from moe.studies.reasoning import GOOD, LAST
from moe.sweeps.experiments import EXPERIMENTS
from moe.sweeps.plan import SEED

from . import studies
from .collapse import moves, number, percent
from .methods import page_text, table

PAGE = "thinking.md"
THINK, ADDITION, DISTIL = "think", "reason", "distil"  # studies
STAGES = f"{COLD}+{RL}+{BEST}+{RL}"
LEARNT = 0.5  # share of right answers from which a run has left chance behind
MANY = 0.5  # share of groups without a difference that is the cause of a failure
ONE_BIT, BFLOAT16 = 1, 7  # of the mantissa of a gate


def page() -> str:
    """Return the page."""
    return page_of(*map(studies.read, (THINK, ADDITION, DISTIL)))


def page_of(think: Study, addition: Study, distil: Study) -> str:
    """Return what the three studies say."""
    return page_text(
        f"docs/studies/{THINK}.jsonl, {ADDITION}.jsonl and {DISTIL}.jsonl",
        "# Rewards, thinking and teachers",
        "The news of January 2025 said that a model learnt by reinforcement to reflect, and that "
        "small models learnt from a large one. Here both are done with a mixture of "
        "[the small language model](language-model.md), often enough to say how sure each figure "
        "is. Means stand with ± standard deviation over seeds; seconds are the processor's, of one "
        "thread, everything from the first demonstration to the last examination included.",
        "## Thinking that pays",
        _thinks_words(think),
        _thinks_table(think),
        "## A plateau",
        _addition_words(addition),
        _addition_table(addition),
        _plateau_words(addition),
        "## Starts from which nothing is learnt",
        _starts_words(think, addition),
        _starts_table(think, addition),
        "## Several stages",
        _stages_words(think, addition),
        _stages_table(think, addition),
        "## The experts' load",
        _load_words(think, addition),
        _load_table(think, addition),
        "## A sampler that differs from the trainer",
        _mismatch_words(think, addition),
        _mismatch_table(think, addition),
        "## A teacher",
        _teacher_words(distil),
        _teacher_table(distil),
        _text_words(distil),
        "## What this does not say",
        "Two layers of eight or sixteen experts, tasks of one kind each, at most a minute of "
        "training. Answers here are right or wrong by a rule; no model judges them. Rewards had a "
        "cold start that already knew how to think, now and then. One rate for rewards, one size "
        "of groups, no other algorithm than GRPO, and none of them tuned for a row above. The "
        "difference between sampler and trainer is simulated, in two number formats. The students "
        "have one teacher, which is little better than they become themselves; a much better one, "
        "or chances that are kept and used again, were not tried. The "
        "machine did other work meanwhile, which makes seconds of the processor longer, too, by a "
        "fifth or more: read them as sizes. Which of two ways is faster depends on the machine; "
        "what comes out after equal steps does not.",
        "## Again",
        "`moe sweep` with docs/studies/think.toml, reason.toml or distil.toml does the runs, "
        '`make pages ARGS="--study NAME"` writes this page from them. One of each by hand: '
        "`moe lm reason --task mod5`, `moe lm reason --task addition`, `moe lm distil`. The pages "
        "*Does it pay to think?* and *A teacher's student* of the app show them as they learn.",
    )


def case(study: Study, **changed: Any) -> Study:
    """Return the rows that differ from the first case of a study in these settings alone."""
    names = EXPERIMENTS[study.experiment].setting_names()
    first = {name: value for name, value in study.rows[0].items() if name in names and name != SEED}
    return replace(study, rows=tuple(study.own(**first | changed)))


def each(study: Study, figure: str) -> list[float]:
    """A figure of each row that has it."""
    return [float(row[figure]) for row in study.rows if row[figure] is not None]


def ends_low(study: Study) -> int:
    """How many runs have not left chance behind at their end."""
    return sum(accuracy < LEARNT for accuracy in each(study, "accuracy_last"))


def between(values: Sequence[float]) -> str:
    """Return the lowest and the highest of some shares: 28.3–36.5 %."""
    return f"{100 * min(values):.1f}–{100 * max(values):.1f}\u00a0%"


# Rewards -----------------------------------------------------------------------------------------


def _thinks_words(study: Study) -> str:
    plain = case(study)
    cold = case(study, plan=COLD, cold_steps=400)
    first, last = each(plain, "accuracy_first"), each(plain, "accuracy_last")
    at = [int(one) for one in each(plain, "good_at")]
    good = sum(one >= GOOD for one in last)
    knows = plain.spread("right_thinking_first")
    return (
        "A model adds six digits and keeps the rest of a division by five. Before its answer it "
        "may write what it likes. A cold start shows it demonstrations, of which a fifth write "
        "running sums; then only right answers are rewarded, and nothing rewards length. Greedily, "
        f"{between(first)} of held-out problems are answered rightly at first (chance is "
        f"{1 / 5:.0%}) and {between(last)} in the end (mean of the last {LAST} examinations), at "
        f"least {GOOD:.0%} in {good} of {len(last)} seeds, first so after {min(at)} to {max(at)} "
        f"updates. Answers grow from {number(plain.spread('length_first'), '.1f')} to "
        f"{number(plain.spread('length_last'), '.1f')} signs, and the share that thinks goes from "
        f"{percent(plain.spread('thinks_first'))} to {percent(plain.spread('thinks_last'))}. "
        "Rewards select what was there: of the answers that think, "
        f"{percent(knows)} were right before the first reward. Demonstrations do not do the same: "
        f"after {int(cold.rows[0]['cold_steps'])} steps of them alone, which take "
        f"{number(cold.spread('cpu_seconds'), '.1f')} s instead of "
        f"{number(plain.spread('cpu_seconds'), '.1f')} s, "
        f"{percent(cold.spread('right_thinking_first'))} of the answers that think are right, but "
        f"{percent(cold.spread('thinks_last'))} think, as they were shown, and greedily "
        f"{percent(cold.spread('accuracy_last'))} are right."
    )


def _thinks_table(study: Study) -> str:
    rows = [
        [
            str(row[SEED]),
            f"{row['accuracy_first']:.1%} → {row['accuracy_last']:.1%}",
            f"{row['sampled_first']:.1%} → {row['sampled_last']:.1%}",
            f"{row['length_first']:.1f} → {row['length_last']:.1f}",
            f"{row['thinks_first']:.0%} → {row['thinks_last']:.0%}",
            f"{row['cpu_seconds']:.1f}",
        ]
        for row in case(study).rows
    ]
    head = ["Seed", "Right, greedy, held out", "Right, sampled", "Signs", "Think"]
    return table([*head, "Seconds"], rows)


def _addition_words(study: Study) -> str:
    plain = case(study)
    cold = case(study, plan=COLD, cold_steps=1000, cold_until=0.0)
    first, last = each(plain, "sampled_first"), each(plain, "sampled_last")
    seconds, other = plain.spread("cpu_seconds"), cold.spread("cpu_seconds")
    sooner = {"rises": "later than", "falls": "sooner than"}.get(
        moves(seconds, other), "about as soon as"
    )
    right, shown = plain.spread("accuracy_last"), cold.spread("accuracy_last")
    better = shown.mean >= right.mean and other.mean <= seconds.mean
    until = study.make_settings(plain.rows[0]).filled().cold_until
    return (
        "Two numbers of two digits are added, the answer alone is written, its highest digit "
        f"first. Demonstrations end when {until:.0%} of sampled answers are right. Rewards for "
        "right answers then raise sampled ones (lowest and highest seed) from "
        f"{between(first)} to {between(last)}, and greedy ones from "
        f"{between(each(plain, 'accuracy_first'))} to {between(each(plain, 'accuracy_last'))}, in "
        f"{number(seconds, '.0f')} s. Where demonstrations cost nothing, they are "
        f"{'the better' if better else 'no better a'} teacher: "
        f"{int(cold.rows[0]['cold_steps']):,} steps of them alone come to {percent(shown)} "
        f"greedily, {sooner} rewards ({number(other, '.0f')} s)."
    )


def _addition_table(study: Study) -> str:
    rows = [
        [
            str(row[SEED]),
            f"{row['sampled_first']:.1%} → {row['sampled_last']:.1%}",
            f"{row['accuracy_first']:.1%} → {row['accuracy_last']:.1%}",
            f"{row['entropy_first']:.2f} → {row['entropy_last']:.3f}",
            f"{row['zero_variance_first']:.0%} → {row['zero_variance_last']:.0%}",
            f"{row['cpu_seconds']:.0f}",
        ]
        for row in case(study).rows
    ]
    head = ["Seed", "Right, sampled", "Right, greedy, held out", "Entropy, nats"]
    return table([*head, "Groups without variance", "Seconds"], rows)


def _plateau_words(study: Study) -> str:
    plain, bonus = case(study), case(study, entropy_bonus=0.02)
    changed = moves(plain.spread("sampled_last"), bonus.spread("sampled_last"))
    words = {"rises": "raises the share of right samples", "falls": "lowers it"}
    what = words.get(changed, "changes nothing beyond the spread")
    return (
        "What is left to learn from gets less. In a group of answers to one problem that are all "
        "right, or all wrong, none is better than another, and the group teaches nothing: these "
        "are "
        f"{percent(plain.spread('zero_variance_first'))} of the groups at first, and "
        f"{percent(plain.spread('zero_variance_last'))} in the end. What is sampled varies less, "
        f"too: its entropy goes from {number(plain.spread('entropy_first'))} to "
        f"{number(plain.spread('entropy_last'), '.3f')} nats a sign. A bonus for entropy of "
        f"{bonus.rows[0]['entropy_bonus']:g} leaves {number(bonus.spread('entropy_last'), '.3f')} "
        f"and {what}: {percent(bonus.spread('sampled_last'))} against "
        f"{percent(plain.spread('sampled_last'))}."
    )


# Starts ------------------------------------------------------------------------------------------


def starts(think: Study, addition: Study) -> list[tuple[str, str, Study]]:
    """Task, words and rows of each start, the good one of each task first."""
    weak, few = case(think, cold_steps=60), case(addition, cold_steps=40)
    return [
        ("mod5", "good", case(think)),
        ("mod5", "1 step of demonstrations", case(think, cold_steps=1)),
        ("mod5", f"{weak.rows[0]['cold_steps']} steps", weak),
        ("mod5", "the same 100 demonstrations", case(think, cold_problems=100)),
        ("addition", "good", case(addition)),
        ("addition", "1 step of demonstrations", case(addition, cold_steps=1)),
        ("addition", f"{few.rows[0]['cold_steps']} steps", few),
        (
            "addition", "the same 100 demonstrations",
            case(addition, cold_problems=100, cold_steps=250, cold_until=0.0),
        ),
    ]  # fmt: skip


def _starts_words(think: Study, addition: Study) -> str:
    bad = [one for one in starts(think, addition) if one[1] != "good"]
    return "\n".join(
        [
            "Rewards need something to prefer. A start may be bad in two ways: hardly a group has "
            "different rewards, or what would have to spread does not pay yet. (A good run has "
            "many groups without variance at its end, since nearly all of its answers are right.)",
            "",
            *(f"- {why(*one)}" for one in bad),
        ]
    )


def why(task: str, start: str, study: Study) -> str:
    """How runs from a bad start ended, and what their first groups and answers say of it."""
    low, n = ends_low(study), len(study.rows)
    stuck = study.spread("zero_variance_first")
    lead = f"*{task}, {start}*: "
    if low == 0:
        return (
            f"{lead}no failure here; all {n} seeds learn, to "
            f"{percent(study.spread('accuracy_last'))} greedily, though {percent(stuck)} of the "
            "first groups have no variance."
        )
    end = f"{low} of {n} seeds stay below {LEARNT:.0%}"
    if stuck.mean >= MANY:
        return f"{lead}{end}; {percent(stuck)} of the first groups have no variance."
    thinking, at_once = (study.spread(f"right_{how}_first") for how in ("thinking", "at_once"))
    if thinking.n and moves(at_once, thinking) != "rises":
        return (
            f"{lead}{end}; only {percent(stuck)} of the first groups have no variance, but answers "
            f"that think are right in {percent(thinking)} of cases, others in {percent(at_once)}."
        )
    return f"{lead}{end}, though only {percent(stuck)} of the first groups have no variance."


def _starts_table(think: Study, addition: Study) -> str:
    rows = [
        [
            f"`{task}`",
            start,
            percent(study.spread("sampled_first")),
            percent(study.spread("accuracy_last")),
            percent(study.spread("zero_variance_first")),
            percent(study.spread("zero_variance_last")),
            number(study.spread("entropy_first")),
        ]
        for task, start, study in starts(think, addition)
    ]
    head = ["Task", "Start", "Right, sampled, at first", "Right, greedy, at the end"]
    return table([*head, "Groups without variance, first", "last", "Entropy, first"], rows)


# Stages ------------------------------------------------------------------------------------------


def _stages(think: Study, addition: Study) -> list[tuple[str, Study, Study]]:
    """Task, rewards alone and several stages."""
    return [
        ("mod5", case(think), case(think, plan=STAGES, iterations=12)),
        ("addition", case(addition), case(addition, plan=STAGES, iterations=200)),
    ]


def _stages_words(think: Study, addition: Study) -> str:
    said = []
    for task, alone, stages in _stages(think, addition):
        moved = moves(alone.spread("sampled_last"), stages.spread("sampled_last"))
        words = {"rises": "raise the share of right samples", "falls": "lower it"}
        how = words.get(moved, "leave the share of right samples within the spread")
        pairs = zip(each(stages, "sampled_last"), each(alone, "sampled_last"), strict=True)
        higher = sum(after > before for after, before in pairs)
        said.append(
            f"in `{task}` four stages {how}, "
            f"{percent(stages.spread('sampled_last'))} against "
            f"{percent(alone.spread('sampled_last'))}, higher in {higher} of "
            f"{len(alone.rows)} seeds"
        )
    return (
        "R1 had a cold start, rewards, fine-tuning on the best samples, and rewards again. Against "
        "a cold start and rewards alone, with as many updates by rewards in all: "
        f"{'; '.join(said)}."
    )


def _stages_table(think: Study, addition: Study) -> str:
    rows = [
        [
            f"`{task}`",
            name,
            percent(study.spread("sampled_last")),
            percent(study.spread("accuracy_last")),
            percent(study.spread("zero_variance_last")),
            number(study.spread("cpu_seconds"), ".1f"),
        ]
        for task, alone, stages in _stages(think, addition)
        for name, study in (("rewards alone", alone), ("four stages", stages))
    ]
    head = ["Task", "After the cold start", "Right, sampled", "Right, greedy"]
    return table([*head, "Groups without variance", "Seconds"], rows)


# Load and mismatch -------------------------------------------------------------------------------


def _loads(think: Study, addition: Study) -> list[tuple[str, bool, Study]]:
    return [
        (task, balance, case(study, balance=balance))
        for task, study in (("mod5", think), ("addition", addition))
        for balance in (True, False)
    ]


def _load_words(think: Study, addition: Study) -> str:
    said, rises = [], 0
    for task, study in (("mod5", think), ("addition", addition)):
        kept, free = (case(study, balance=balance) for balance in (True, False))
        changes = []
        for one in (kept, free):
            first, last = one.spread("max_vio_first"), one.spread("max_vio_last")
            rises += moves(first, last) == "rises"
            changes.append(f"from {number(first)} to {number(last)}")
        right = moves(kept.spread("accuracy_last"), free.spread("accuracy_last"))
        said.append(
            f"In `{task}` MaxVio of the worst layer goes {changes[0]} with the controller and "
            f"{changes[1]} without it, where the share of right answers {right}."
        )
    verdict = (
        f"it does in {rises} of the {2 * len(said)} rows, beyond the spread"
        if rises else "not beyond the spread, in none of the rows"
    )  # fmt: skip
    return (
        f"Does learning from rewards make the load uneven? Here {verdict}. A bias keeps the load "
        "even while demonstrations are learnt and afterwards; without it the load is uneven "
        f"before the first reward. {' '.join(said)}"
    )


def _load_table(think: Study, addition: Study) -> str:
    rows = [
        [
            f"`{task}`",
            "with" if balance else "without",
            number(study.spread("max_vio_first")),
            number(study.spread("max_vio_last")),
            number(study.spread("max_vio_top")),
            percent(study.spread("accuracy_last")),
        ]
        for task, balance, study in _loads(think, addition)
    ]
    head = ["Task", "Controller", "MaxVio before the rewards", "at the end"]
    return table([*head, f"highest mean of {LAST} updates", "Right, greedy"], rows)


def mismatches(think: Study, addition: Study) -> list[tuple[str, str, bool, Study]]:
    """Task, gates of the sampler, whether its routing is replayed, and rows."""
    found = []
    for task, study in (("mod5", think), ("addition", addition)):
        found.append((task, "the trainer's", False, case(study)))
        for bits, gates in ((BFLOAT16, "bfloat16"), (ONE_BIT, "one bit")):
            for replay in (False, True):
                own = case(study, gate_bits=bits, replay=replay)
                if own.rows:
                    found.append((task, gates, replay, own))
    return found


def _mismatch_words(think: Study, addition: Study) -> str:
    said = []
    for task, study in (("mod5", think), ("addition", addition)):
        same, rounded = case(study), case(study, gate_bits=BFLOAT16)
        coarse, replayed = (case(study, gate_bits=ONE_BIT, replay=one) for one in (False, True))
        gap, mended = coarse.spread("chance_difference"), replayed.spread("chance_difference")
        fate = {"falls": "falls", "rises": "rises"}.get(
            moves(same.spread("accuracy_last"), coarse.spread("accuracy_last")),
            "stays within the spread",
        )
        said.append(
            f"In `{task}` gates of bfloat16 send "
            f"{rounded.spread('routing_difference').mean:.2%} of the positions to other experts, "
            "gates of one bit "
            f"{coarse.spread('routing_difference').mean:.1%}. There the logarithms of chances "
            f"differ by {number(gap, '.4f')} nats a sign; trained along the sampler's routing, by "
            f"{number(mended, '.4f')}, so that replay mends "
            f"{1 - mended.mean / gap.mean:.0%} of it. The share of right answers with gates of one "
            f"bit {fate}: {percent(coarse.spread('accuracy_last'))} against "
            f"{percent(same.spread('accuracy_last'))}, and with replay "
            f"{percent(replayed.spread('accuracy_last'))}."
        )
    return (
        "Large runs sample with one program and train with another; both round differently, and "
        "some positions go to other experts (arXiv 2510.11370, where training broke down from it "
        "unless the sampler's routing was replayed). Here both use the same kernels and agree "
        f"bit for bit, so the gates of the sampler are rounded on purpose. {' '.join(said)} (With "
        "replay, *positions at other experts* are those that the trainer's own gates would send "
        "elsewhere.)"
    )


def _mismatch_table(think: Study, addition: Study) -> str:
    rows = [
        [
            f"`{task}`",
            gates,
            "yes" if replay else "no",
            f"{study.spread('routing_difference').mean:.2%}",
            number(study.spread("chance_difference"), ".4f"),
            percent(study.spread("sampled_last")),
            percent(study.spread("accuracy_last")),
        ]
        for task, gates, replay, study in mismatches(think, addition)
    ]
    head = ["Task", "Gates that sample", "Replay", "Positions at other experts"]
    return table([*head, "Chances differ, nats", "Right, sampled", "Right, greedy"], rows)


# Teachers ----------------------------------------------------------------------------------------

KINDS = {"dense": "dense", "moe": "mixture"}


def gained(study: Study, figure: str) -> str:
    """A gain in bits per byte with its interval over seeds."""
    one = Interval.of(each(study, figure))
    return f"{one.mean:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


def judged(study: Study, figure: str) -> str:
    """A gain with its interval and what that says."""
    one = Interval.of(each(study, figure))
    verdict = "it helps" if one.low > 0 else "it harms" if one.high < 0 else "no telling"
    return f"{gained(study, figure)}, {verdict}"


def _teacher_words(study: Study) -> str:
    dense, mixture = (case(study, student=student) for student in KINDS)
    long = case(study, steps=1000)
    said = [
        f"a {KINDS[row['student']]} student {judged(own, 'gain')}, at equal steps, and "
        f"{judged(own, 'gain_seconds')}, at equal seconds"
        for own in (dense, mixture)
        for row in own.rows[:1]
    ]
    longer = [row["longer_steps"] / row["steps"] for own in (dense, mixture) for row in own.rows]
    settings = study.make_settings(dense.rows[0])
    return (
        f"A mixture ({dense.spread('teacher').mean:.3f} bits a byte of "
        "held-out text) teaches students that are smaller: each learns the teacher's chances of "
        f"every next byte, for {settings.steps} steps, beside one that learns the text alone from "
        "the same weights and batches. At equal seconds the one alone goes on while the teacher "
        f"would compute, {min(longer):.1f} to {max(longer):.1f} times the steps; the teacher's own "
        f"training ({dense.spread('training_seconds').mean:.0f} s) is "
        f"not counted. Bits saved, with a 95% interval over {len(dense.rows)} seeds: "
        f"{'; '.join(said)}. The longer a student learns, the nearer it comes to such a teacher by "
        f"itself: in {long.rows[0]['steps']:,} steps the dense one alone comes to "
        f"{number(long.spread('alone'), '.3f')} bits, and the teacher saves "
        f"{judged(long, 'gain')}, at equal steps, and {judged(long, 'gain_seconds')}, at equal "
        "seconds."
    )


def _teacher_table(study: Study) -> str:
    cases = dict.fromkeys(
        (row["method"], row["student"], row["mix"], row["steps"]) for row in study.rows
    )
    rows = []
    for method, student, mix, steps in cases:
        own = replace(
            study, rows=tuple(study.own(method=method, student=student, mix=mix, steps=steps))
        )
        what = "its text" if method == "text" else "its chances" if mix == 1 else "half and half"
        rows.append(
            [
                KINDS[student], what, f"{steps:,}",
                number(own.spread("taught"), ".3f"), number(own.spread("alone"), ".3f"),
                gained(own, "gain"), gained(own, "gain_seconds"),
                f"{own.spread('taught_seconds').mean:.1f}, {own.spread('alone_seconds').mean:.1f}",
            ]
        )  # fmt: skip
    head = ["Student", "Learns", "Steps", "Bits, taught", "alone", "Saved at equal steps"]
    return table([*head, "at equal seconds", "Seconds, taught and alone"], rows)


def _text_words(study: Study) -> str:
    said = [
        f"for the {KINDS[student]} student it saves {judged(own, 'gain')}, at equal steps"
        for student in KINDS
        for own in [case(study, method="text", student=student)]
    ]
    half = case(study, mix=0.5)
    return (
        "The small models of DeepSeek learnt in another way, from text that R1 had written. Text "
        "that this teacher writes is one byte at a time again, and holds nothing that the true "
        f"text does not: {'; '.join(said)}. And a loss that is half the teacher's "
        f"chances and half the text saves {gained(half, 'gain')}."
    )
