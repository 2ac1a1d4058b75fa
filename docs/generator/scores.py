"""What the page on the article cites and does not compute: scores of models, stages of R1."""

from __future__ import annotations

from .methods import table

R1_README = "[R1 README](https://github.com/deepseek-ai/DeepSeek-R1)"

# All tests for which the README's main table has results of both, DeepSeek-R1 and OpenAI o1-1217.
BOTH = {
    "MMLU": (90.8, 91.8),
    "DROP": (92.2, 90.2),
    "GPQA Diamond": (71.5, 75.7),
    "SimpleQA": (30.1, 47.0),
    "LiveCodeBench": (65.9, 63.4),
    "Codeforces (percentile)": (96.3, 96.6),
    "Codeforces (rating)": (2029, 2061),
    "SWE Verified": (49.2, 48.9),
    "Aider-Polyglot": (53.3, 61.7),
    "AIME 2024": (79.8, 79.2),
    "MATH-500": (97.3, 96.4),
}
# The tests of the README's table of distilled models, at the first answer.
OF_DISTILLED = ("AIME 2024", "MATH-500", "GPQA Diamond", "LiveCodeBench", "Codeforces (rating)")
# First from the main table, then from that of the distilled models.
OTHERS = {
    "OpenAI o1-mini": (63.6, 90.0, 60.0, 53.8, 1820),
    "GPT-4o": (9.3, 74.6, 49.9, 34.2, 759),
    "R1-Distill-Qwen-32B": (72.6, 94.3, 62.1, 57.2, 1691),
    "R1-Distill-Qwen-1.5B": (28.9, 83.9, 33.8, 16.9, 954),
}
STAGES = """\
- *R1-Zero*: reinforcement learning alone, on V3's base model. Rewards were rules, right or wrong
  and the format, with no learned judge ([arXiv 2501.12948v1](https://arxiv.org/abs/2501.12948v1),
  section 2.2.2). Its pass rate on AIME 2024 went from 15.6 to 71.0 per cent in that preprint of
  January 2025; the later version prints 77.9. The paper says that looking back at earlier steps
  and trying other ways arose by themselves as answers grew longer (section 2.2.4).
- *R1*, four stages (sections 2.3.1 to 2.3.4): the base model is fine-tuned on thousands of
  cold-start answers; reinforcement learning on tasks of reasoning, rewarded by rules and for
  keeping to one language; the base model is fine-tuned anew on about 800,000 answers, 600,000 of
  reasoning and 200,000 others; reinforcement learning again. The 600,000 were sampled from the
  model after the second stage, and for some V3 was the judge of what is right. In the last stage
  learned reward models stood for people's preferences, beside the rules.
- *Distillation*: Qwen and Llama models were fine-tuned on those 800,000 answers, with no
  reinforcement learning (section 2.4). The 32B Qwen model then reached 72.6 on AIME 2024; its base
  model with large-scale reinforcement learning instead reached 47.0 (section 4.1, table 6).
- *Its limits*, by the same paper (section 5): R1 is optimised for Chinese and English, and may mix
  languages when asked in another."""


def leads() -> tuple[list[str], list[str]]:
    """Tests in which R1 is ahead of o1-1217, and those in which it is behind."""
    ahead = [name for name, (r1, o1) in BOTH.items() if r1 > o1]
    return ahead, [name for name in BOTH if name not in ahead]


def _score(value: float) -> str:
    """Per cent with one digit as printed, ratings without."""
    return f"{value:.1f}" if value <= 100 else f"{value:.0f}"


def cited() -> str:
    """The section of the page."""
    r1, o1 = leads()
    few = [name for name in OF_DISTILLED if name in r1]
    both = [[name, _score(ours), _score(theirs)] for name, (ours, theirs) in BOTH.items()]
    rows = [
        ["DeepSeek-R1", *(_score(BOTH[name][0]) for name in OF_DISTILLED)],
        ["OpenAI o1-1217", *(_score(BOTH[name][1]) for name in OF_DISTILLED)],
        *([name, *map(_score, values)] for name, values in OTHERS.items()),
    ]
    parts = [
        "## Cited, not computed",
        "Scores of models are results of their publishers' own tests. This package runs none of "
        "these models, so it can neither confirm nor deny them. These are all the tests for which "
        f"the {R1_README} has results of both; the publisher chose the tests. Per cent, and "
        "ratings at Codeforces:",
        table(["Test", "DeepSeek-R1", "OpenAI o1-1217"], both),
        f"R1 is ahead in {len(r1)} of these {len(BOTH)} ({', '.join(r1)}), o1-1217 in {len(o1)} "
        f"({', '.join(o1)}).",
        f"For the distilled models the README has {len(OF_DISTILLED)} of these tests, in which R1 "
        f"is ahead of o1-1217 in {len(few)}. GPT-4o is from the main table, as R1 and o1; the "
        "table of distilled models has 32.9 for its LiveCodeBench.",
        table(["Model", *OF_DISTILLED], rows),
        "How R1 learned:",
        STAGES,
    ]
    return "\n\n".join(parts)
