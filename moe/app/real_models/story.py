"""Published models: sizes in three conventions, and how they run on a chosen machine.

Which of them are the best for it, and why a mixture is faster than a dense model, is in `best.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from ...cost import GPUS, MODELS, Decoding, Demand, Gpu, ModelConfig, decode, demand
from ...numbers import count, digits, gigabytes
from ...settings import Settings, option

OWN_MACHINE = "A machine of my own"
ANOTHER, OWN = "Another", "My own"
# What people have: a machine of the table, and how many of them.
HAVE = {
    "Laptop 16 GB": (GPUS["laptop-16gb"].name, 1),
    "Laptop 32 GB": (GPUS["laptop-32gb"].name, 1),
    "Gaming PC 24 GB": (GPUS["rtx-4090"].name, 1),
    "Mac 64 GB": (GPUS["m4-pro"].name, 1),
    "Server": (GPUS["h100-sxm"].name, 8),
}
CHOICES = (*HAVE, ANOTHER, OWN)
AS_PUBLISHED = "as each publisher counts"
CONVENTIONS = {
    AS_PUBLISHED: "",
    "all that a token meets": "with_input",
    "without the input table": "head_only",
    "without both tables": "neither",
}
SHORT = {"with_input": "with both tables", "head_only": "no input table", "neither": "no table"}
PRECISIONS = {"4 bits": "4-bit", "8 bits": "fp8", "16 bits": "bf16"}
CONTEXTS = (1024, 4096, 16384, 65536, 131072)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MACHINES = {gpu.name: gpu for gpu in reversed(GPUS.values())}
DEFAULT_MACHINE = HAVE[CHOICES[0]][0]
TOPS, OWN_TOP = (10, 100, 1_000, 10_000), 100  # tokens a second at which bars may end
# Positions of the sliders for a machine of one's own.
OWN_GB = (*range(8, 64, 4), *range(64, 128, 8), *range(128, 513, 32))
OWN_GB_S = (*range(20, 200, 10), *range(200, 1001, 25))
MARK = "★"
MIXTURE, DENSE = "mixture of experts", "dense"
# Models that the picture names, and the side of the point where the name has room.
NAMED = {
    "DeepSeek-V3": "left",
    "Kimi-K2": "below",
    "Llama-3.1-405B": "left",
    "Grok-1": "right",
    "gpt-oss-120b": "right",
    "Mixtral-8x7B": "left",
    "Llama-3.1-8B": "right",
    "Qwen3-30B-A3B": "right",
    "OLMoE-1B-7B": "right",
    "Granite-3.0-1B-A400M": "right",
}


@dataclass(frozen=True)
class Question(Settings):
    """The controls of the page; several machines are all alike, with free links."""

    machine: str = option(
        DEFAULT_MACHINE, "A machine, or your own.", among=(*MACHINES, OWN_MACHINE)
    )
    n_machines: int = option(1, "How many machines.", low=1, high=1024)
    memory_gb: float = option(64.0, "Memory of your own machine.")
    memory_gb_s: float = option(400.0, "Speed of that memory.")
    tflops: float = option(30.0, "Trillion operations/s of your own.")
    usable_percent: int = option(90, "Memory that the model may fill.", low=1, high=100)
    weights: str = option("4 bits", "What each weight takes.", among=PRECISIONS)
    batch: int = option(1, "Conversations at once.", low=1)
    context: int = option(4096, "Tokens of each.", low=1)
    convention: str = option(AS_PUBLISHED, "What counts as used.", among=CONVENTIONS)

    @property
    def gpu(self) -> Gpu:
        """The machine as `moe.cost` describes one."""
        if self.machine != OWN_MACHINE:
            return MACHINES[self.machine]
        return Gpu(
            key="own", name="your machine", kind="own", bf16_tflops=self.tflops,
            memory_gb=self.memory_gb, memory_gb_s=self.memory_gb_s, power_w=0.0,
        )  # fmt: skip

    @property
    def precision(self) -> str:
        """Precision of the weights as `moe.cost` calls it."""
        return PRECISIONS[self.weights]

    @property
    def usable_gb(self) -> float:
        """Gigabytes for weights and cache on all machines together."""
        return self.n_machines * self.gpu.memory_gb * self.usable_percent / 100

    def decoding(self, model: ModelConfig) -> Decoding:
        """Bounds on the speed of one model."""
        return decode(
            model, self.gpu, batch=self.batch, context=self.context, precision=self.precision,
            n_gpus=self.n_machines, usable=self.usable_percent / 100,
        )  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """One model on the chosen machine."""

    model: ModelConfig
    decoding: Decoding
    active: int

    @property
    def needed_gb(self) -> float:
        """Gigabytes of weights and cache."""
        return self.decoding.needed_bytes / 1e9

    @property
    def fits(self) -> bool:
        """Whether weights and cache fit in the memory."""
        return self.decoding.fits

    @property
    def speed(self) -> str:
        """The bound on its speed in words."""
        if not self.fits:
            return "does not fit"
        return f"{digits(self.decoding.tokens_per_s)} tokens/s at most"

    @property
    def kind(self) -> str:
        """Whether it is a mixture of experts or dense."""
        return MIXTURE if self.model.moe_layers else DENSE


@lru_cache(maxsize=16)
def _demands(
    batch: int, context: int, precision: str, convention: str
) -> tuple[tuple[ModelConfig, Demand, int], ...]:
    """Each model, what it asks of a machine, and what a token uses; who needs least comes first.

    A slider's picture has every model on each of its many machines, so this is worked out once.
    """
    found = [
        (
            model,
            demand(model, batch=batch, context=context, precision=precision),
            model.active(convention or model.active_convention),
        )
        for model in MODELS.values()
    ]
    return tuple(sorted(found, key=lambda one: one[1].needed_bytes))


@dataclass(frozen=True)
class Answers:
    """All models on the chosen machine."""

    question: Question

    @cached_property
    def rows(self) -> list[Answer]:
        """The answer for each model, the one that needs least memory first."""
        asked = self.question
        gpu, usable = asked.gpu, asked.usable_percent / 100
        counted = CONVENTIONS[asked.convention]
        return [
            Answer(model, needs.on(gpu, asked.n_machines, usable), active)
            for model, needs, active in _demands(
                asked.batch, asked.context, asked.precision, counted
            )
        ]

    @property
    def fitting(self) -> list[Answer]:
        """The models that fit."""
        return [answer for answer in self.rows if answer.fits]

    def machine_words(self) -> str:
        """The chosen machine in words."""
        name = self.question.gpu.name
        return name if self.question.n_machines == 1 else f"{self.question.n_machines} × {name}"

    @property
    def listed(self) -> list[Answer]:
        """Those that fit, the fastest first, then the others, the one that needs least first."""
        fast = sorted(self.fitting, key=lambda answer: -answer.decoding.tokens_per_s)
        return [*fast, *(answer for answer in self.rows if not answer.fits)]

    def memory_words(self) -> str:
        """How much memory the models may fill."""
        return f"{gigabytes(self.question.usable_gb)} of memory"

    @property
    def top(self) -> int:
        """Tokens a second at which bars end: at least half of the models that fit are slower.

        It is the same for all machines of one's own, so that bars move with them.
        """
        if self.question.machine == OWN_MACHINE:
            return OWN_TOP
        speeds = [answer.decoding.tokens_per_s for answer in self.listed if answer.fits]
        middle = speeds[len(speeds) // 2] if speeds else 0.0
        return next((top for top in TOPS if middle <= top), TOPS[-1])

    def table(self) -> list[dict[str, object]]:
        """Numbers in billions and gigabytes, so that columns sort."""
        return [
            {
                "Model": a.model.name,
                "Total, billions": a.model.total_params / 1e9,
                "Total as published": _or_none(a.model.published_total / 1e9),
                **{
                    f"Active, {SHORT[name]}": a.model.active(name) / 1e9 for name in SHORT
                },
                "Active as published": _or_none(a.model.published_active / 1e9),
                "Counted as published": _basis(a.model),
                "Experts": a.model.experts,
                "per token": a.model.top_k,
                "Memory needed, GB": a.needed_gb,
                "Fits": "yes" if a.fits else "no",
                "Tokens/s at most": a.decoding.tokens_per_s if a.fits else None,
                "by memory": a.decoding.by_bandwidth,
                "by arithmetic": a.decoding.by_compute,
                "Cache, bytes a token": a.model.kv_bytes_per_token(),
                "Published figures from": _source(a.model),
            }
            for a in self.rows
        ]  # fmt: skip

    def by_batch(self, name: str) -> list[tuple[int, Decoding]]:
        """Bounds of one model for batches of 1, 2, 4, ... conversations."""
        model = MODELS[name.lower()]
        return [(batch, replace(self.question, batch=batch).decoding(model)) for batch in BATCHES]

    def batch_words(self, name: str) -> str:
        """From which batch on arithmetic is the limit, and where memory ends."""
        steps = self.by_batch(name)
        first, last = steps[0][1], steps[-1][1]
        change = next((batch for batch, bound in steps if bound.limit == "compute"), None)
        full = [batch for batch, bound in steps if bound.fits]
        text = (
            f"Alone, a conversation with {name} gets at most {digits(first.tokens_per_s)} tokens a "
            f"second; {steps[-1][0]:,} at once get {digits(last.tokens_per_s)} together."
        )
        if change is None:
            text += " Reading memory stays the limit throughout."
        else:
            text += f" From {change:,} on, arithmetic is the limit, not memory."
        if not full:
            text += " But it does not fit in the memory at all."
        elif full[-1] < steps[-1][0]:
            text += f" But beyond {full[-1]:,} conversations the memory is full."
        return text


def convention_words() -> str:
    """Why makers' counts of active parameters differ, with one model as the example."""
    v3 = MODELS["deepseek-v3"]
    most, least = count(v3.active("with_input"), 3), count(v3.active("neither"), 3)
    return (
        "Makers count differently: some leave out the word tables. For "
        f"{v3.name} that changes {most} to {least}; {v3.name.partition('-')[0]} says "
        f"{count(v3.published_active, 3)}."
    )


def counted_words() -> str:
    """How many publishers count active parameters in which way."""
    used = [model.active_convention for model in MODELS.values()]
    counted = ", ".join(f"{used.count(name)} “{words}”" for name, words in SHORT.items())
    stated = [model.name for model in MODELS.values() if model.convention_basis == "stated"]
    other = [
        contradiction_words(model)
        for model in MODELS.values()
        if model.convention_basis == "contradicted"
    ]
    return (
        f"Of {len(used)} models, the published figure fits {counted}. The makers of "
        f"{' and '.join(stated)} say which they use, and it fits."
        f"{''.join(' ' + words for words in other)}"
    )


def contradiction_words(model: ModelConfig) -> str:
    """How a published count of active parameters differs from its publisher's description."""
    words, fits = SHORT[model.stated_convention], SHORT[model.active_convention]
    stated = model.active(model.stated_convention)
    return (
        f"The makers of {model.name} say {count(model.published_active, 3)} “{words}”, which would "
        f"be {count(stated, 3)}; “{fits}” is {count(model.active_params, 3)}: "
        f"{count(abs(stated - model.active_params), 3)} lie between, one table."
    )


def marks(table: list[dict[str, object]]) -> list[tuple[int, str]]:
    """Row and column of each cell whose convention the model's publisher uses."""
    by_name = {model.name: model for model in MODELS.values()}
    return [
        (at, f"Active, {SHORT[by_name[str(row['Model'])].active_convention]}")
        for at, row in enumerate(table)
    ]


def _or_none(value: float) -> float | None:
    return value or None


def _basis(model: ModelConfig) -> str:
    how = {
        "stated": "says so", "fitted": "fits best", "contradicted": "fits best; says another",
        "": "",
    }[model.convention_basis]  # fmt: skip
    return f"{SHORT[model.active_convention]} ({how})"


def _source(model: ModelConfig) -> str:
    return model.published_source + _mark(model.published_check)


def machine_rows(question: Question) -> list[dict[str, str]]:
    """Figures of the machine with their sources, as rows of a table."""
    gpu = question.gpu
    names = {
        "memory_gb": ("Memory", "GB"),
        "memory_gb_s": ("Reading memory", "GB a second"),
        "bf16_tflops": ("Arithmetic", "trillion operations a second, 16 bits"),
    }
    return [
        {
            gpu.name: words,
            "": f"{getattr(gpu, name):,g} {unit}{_mark(gpu.checks.get(name, ''))}",
            "Source": gpu.sources.get(name, "given"),
        }
        for name, (words, unit) in names.items()
    ]


def _mark(check: str) -> str:
    return {"second-hand": " †", "unverified": " ‡"}.get(check, "")
