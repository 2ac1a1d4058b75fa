"""Auxiliary-loss-free balancing: a bias on the selection, stepped by a simple controller."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..routing import Routing
from ..settings import option
from .base import Arrays, Balancer

FORMS = ("sign", "proportional", "multiplicative")


@dataclass(frozen=True)
class BiasControl(Balancer):
    """After each batch: b_i += rate * sign(mean load - load_i). No gradient, no loss.

    The bias changes who is selected, never the weights, and is stepped from the batch just
    finished, so that no token sees the future. A starved expert goes up.

    Parameters
    ----------
    rate
        Step u; 1e-3 in DeepSeek-V3's run of 14.8 trillion tokens.
    form
        'sign'; 'proportional': the error in units of the mean load instead of its sign;
        'multiplicative': scores are multiplied by a factor, from 1, instead of added to.
    zero_mean
        Subtract the steps' mean, so that the bias does not drift (Ling).
    freeze_after
        Updates after which the rate is 0; None: never. DeepSeek-V3 freezes it for the last 0.5
        of 14.8 trillion tokens.

    Examples
    --------
    >>> import numpy as np, moe
    >>> routing = moe.make_router("topk", k=1).choose(np.log([[0.6, 0.3, 0.1], [0.5, 0.3, 0.2]]))
    >>> buffers = {"select_bias_E": np.zeros(3)}  # loads 2, 0, 0; their mean is 2/3
    >>> moe.make_balancer("bias", rate=0.01).update(buffers, routing)
    >>> buffers["select_bias_E"].tolist()
    [-0.01, 0.01, 0.01]
    >>> moe.make_balancer("bias", rate=0.01, form="proportional").update(buffers, routing)
    >>> buffers["select_bias_E"].round(3).tolist()
    [-0.03, 0.02, 0.02]
    """

    name: ClassVar[str] = "bias"
    title: ClassVar[str] = "Bias (auxiliary-loss-free)"
    source: ClassVar[str] = (
        "Loss-Free Balancing, arXiv 2408.15664, algorithm 1; DeepSeek-V3, arXiv 2412.19437, "
        "section 4.2"
    )
    formula: ClassVar[str] = (
        r"\begin{aligned}"
        r"\text{select} &= \mathrm{TopK}_i(s_{t,i} + b_i) \\"
        r"b_i &\leftarrow b_i + u\, \mathrm{sign}(\bar c - c_i)"
        r"\end{aligned}"
    )
    rate_name: ClassVar[str] = "rate"
    short_run_rate: ClassVar[float] = 3e-3
    needs: ClassVar[str] = "select_bias_E"

    rate: float = option(1e-3, low=0)
    form: str = option("sign", among=FORMS)
    zero_mean: bool = False
    freeze_after: int | None = option(None, low=0)

    def init_state(self, n_experts: int) -> Arrays:
        """The factor on the scores, and the number of updates, where they are needed."""
        state = {}
        if self.form == "multiplicative":
            state["select_factor_E"] = np.ones(n_experts)
        if self.freeze_after is not None:
            state["bias_updates_1"] = np.zeros(1)
        return state

    def update(self, buffers: MutableMapping[str, np.ndarray], routing: Routing) -> None:
        """Step `select_bias_E`, or the factor, in place."""
        if self.freeze_after is not None:
            updates_1 = self._kept("bias_updates_1", buffers, routing.n_experts)
            updates_1 += 1
            if updates_1[0] > self.freeze_after:
                return
        if self.form == "multiplicative":
            target_E = self._kept("select_factor_E", buffers, routing.n_experts)
        else:
            target_E = buffers[self.needs]
        step_E = relative_error(routing.proposed_load)
        if self.form != "proportional":
            step_E = np.sign(step_E)
        if self.zero_mean:
            step_E = step_E - step_E.mean()
        target_E += (self.rate * step_E).astype(target_E.dtype)


def relative_error(load_E: np.ndarray) -> np.ndarray:
    """(mean load - load_i) / mean load, (E,): 1 if starved, -1 at twice the fair share."""
    mean = load_E.mean()
    return np.asarray((mean - load_E) / mean if mean > 0 else np.zeros(load_E.shape))
