"""A language model: its shape, what is published about it, and the figures that follow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..errors import check_choice, check_float
from .flops import flops_per_token
from .params import CONVENTIONS, Params, count_params, mtp_params
from .shape import Shape

CHECKS = ("verified", "second-hand", "unverified", "")


@dataclass(frozen=True)
class ModelConfig(Shape):
    """A model's shape (see `Shape` for its parameters) and what its publishers say of it.

    Parameters
    ----------
    published_total, published_active
        Parameters as published, 0 if unknown.
    active_convention, stated_convention
        The convention that fits the published active figure, and the one that its publisher's
        words say, '' where there are none.
    training_tokens, gpu_hours, other_gpu_hours, gpu
        The published training, 0 or '' if unknown; `other_gpu_hours` are those among the hours
        that came after pre-training.
    source, published_source, published_check
        Where the shape and the training are from; where the published parameters are; whether
        these were read at their source ('verified'), quoted by others ('second-hand') or neither
        ('unverified').
    exception
        Why a computed figure is further off than 1 % (total) or 3 % (active), or ''.
    notes
        What the model has and no figure counts, a sentence each.
    """

    published_total: float = 0.0
    published_active: float = 0.0
    active_convention: str = "with_input"
    stated_convention: str = ""
    training_tokens: float = 0.0
    gpu_hours: float = 0.0
    other_gpu_hours: float = 0.0
    gpu: str = ""
    source: str = ""
    published_source: str = ""
    published_check: str = ""
    exception: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("active_convention", self.active_convention, CONVENTIONS)
        check_choice("stated_convention", self.stated_convention, (*CONVENTIONS, ""))
        check_choice("published_check", self.published_check, CHECKS)
        for name in ("published_total", "published_active", "training_tokens", "gpu_hours"):
            check_float(name, getattr(self, name), 0.0)
        check_float("other_gpu_hours", self.other_gpu_hours, 0.0, self.gpu_hours)

    @property
    def convention_basis(self) -> str:
        """Whether the publisher's words say the convention that fits.

        'stated', 'contradicted' (they say another one), 'fitted' (there are none), or '' without
        a published figure.
        """
        if not self.published_active:
            return ""
        if not self.stated_convention:
            return "fitted"
        return "stated" if self.stated_convention == self.active_convention else "contradicted"

    @property
    def pretraining_hours(self) -> float:
        """Published GPU-hours of pre-training: all of them where no stage is published alone."""
        return self.gpu_hours - self.other_gpu_hours

    @cached_property
    def params(self) -> Params:
        """Parameters by part."""
        return count_params(self)

    @property
    def total_params(self) -> int:
        """All parameters, without multi-token prediction."""
        return self.params.total

    @property
    def active_params(self) -> int:
        """Parameters that a token uses, in the convention of the published figure."""
        return self.active(self.active_convention)

    def active(self, convention: str) -> int:
        """Parameters that a token uses: 'with_input', 'head_only' or 'neither' embedding."""
        return self.params.active(convention)

    @property
    def mtp_params(self) -> int:
        """Parameters of the multi-token-prediction modules alone."""
        return mtp_params(self)

    def flops_per_token(
        self,
        context: int = 4096,
        causal: bool = True,
        training: bool = False,
        mtp: bool = False,
    ) -> float:
        """Operations per token; see `moe.cost.flops.flops_per_token` for the parts."""
        return flops_per_token(self, context, causal, training, mtp).total
