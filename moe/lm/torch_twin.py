"""The same model in plain PyTorch, written in two ways, to time and to check the library's own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .. import kernels
from ..balance import Balancer
from ..balance.aux import AuxLoss
from ..balance.none import NoBalance
from ..routers.topk import TopK
from .settings import LMTrainSettings
from .training import LMTrainer

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None

PLAIN, BEST = "PyTorch from scratch", "best plain PyTorch"
COMPARED = 20  # steps whose losses are compared


def make_twins(trainer: LMTrainer) -> dict[str, Twin]:
    """Both ways to write a trainer's model, with its weights.

    'PyTorch from scratch' has a product of its own for each head and a mask for each expert, as
    tutorials do, and PyTorch's usual AdamW. 'best plain PyTorch' has one product for all heads,
    PyTorch's own attention, gathered rows for each expert, and the fused AdamW.

    Raises
    ------
    ValueError
        If PyTorch is not installed, or the model is one that the twins are not.
    """
    if torch is None:
        raise ValueError(
            "pytorch: got no PyTorch to compare with, allowed is it with the extra: "
            "pip install 'moescope[bench]'"
        )
    config = trainer.settings.model
    router, balancer = config.make_router(), trainer.settings.make_balancer()
    alike = (
        (not config.n_experts or router == TopK(config.k))
        and type(balancer) in (AuxLoss, NoBalance)
        and not (config.latent or config.tied or config.n_shared or config.n_dense)
        and config.qk_norm == "head" and config.n_kv_heads is None and not config.interleaved
        and config.rotating == config.key_size
    )  # fmt: skip
    if not alike:
        raise ValueError(
            f"pytorch: got router {config.router!r} and balance {trainer.settings.balance!r}, "
            "allowed are topk with aux or none, and ordinary heads with a norm for each"
        )
    torch.set_num_threads(kernels.num_threads())
    return {PLAIN: Twin(trainer, fused=False), BEST: Twin(trainer, fused=True)}


class Twin:
    """A model in PyTorch with the weights of a trainer's, and its training step."""

    def __init__(self, trainer: LMTrainer, fused: bool) -> None:
        self.settings, self.fused = trainer.settings, fused
        self.config, self.windows = trainer.settings.model, trainer.windows
        self.balancer: Balancer = trainer.settings.make_balancer()
        self.params = {
            name: torch.nn.Parameter(torch.from_numpy(array.copy()))
            for name, array in trainer.model.arrays().items()
        }
        self.rng = copy.deepcopy(trainer.data_rng)
        self.optimizer = torch.optim.AdamW(
            self.params.values(), lr=trainer.settings.learning_rate, betas=(0.9, 0.95), eps=1e-10,
            weight_decay=0.0, fused=True if fused else None,
        )  # fmt: skip
        at = trainer.model.positions(1, 0, self.config.context)
        self.cos_TR, self.sin_TR = (
            torch.from_numpy(table[: self.config.context]) for table in (at.cos_TR, at.sin_TR)
        )
        length = self.config.context
        self.mask_TT = torch.ones(length, length).tril() == 0

    def compare(self, settings: LMTrainSettings) -> float:
        """Largest difference of the losses of as many steps as are compared, from equal weights."""
        own = LMTrainer(settings, self.windows)
        return max(abs(own.step().loss - self.step()) for _ in range(COMPARED))

    def step(self) -> float:
        """Do one training step at the full rate; return the loss of its batch."""
        window_BT = torch.from_numpy(
            self.windows.draw(self.rng, self.settings.batch).astype(np.int64)
        )
        logits_BTV, balance_loss = self.forward(window_BT[:, :-1])
        loss = F.cross_entropy(logits_BTV.flatten(0, 1), window_BT[:, 1:].flatten())
        self.optimizer.zero_grad(set_to_none=True)
        (loss + balance_loss).backward()
        if self.settings.clip:
            torch.nn.utils.clip_grad_norm_(self.params.values(), self.settings.clip)
        self.optimizer.step()
        return float(loss.detach())

    def forward(self, tokens_BT: Any) -> tuple[Any, Any]:
        """Logits (B, T, V), and the balancer's loss."""
        x_BTD = self.params["embed_VD"][tokens_BT]
        balance_loss: Any = 0.0
        for number in range(self.config.n_layers):
            part = {
                name.removeprefix(f"blocks.{number}."): array
                for name, array in self.params.items()
                if name.startswith(f"blocks.{number}.")
            }
            x_BTD = x_BTD + self._attention(self._norm(x_BTD, part["attention_gain_D"]), part)
            y_BTD, added = self._ffn(self._norm(x_BTD, part["ffn_gain_D"]), part)
            x_BTD, balance_loss = x_BTD + y_BTD, balance_loss + added
        return self._norm(x_BTD, self.params["gain_D"]) @ self.params["out_DV"], balance_loss

    def _norm(self, x: Any, gain: Any) -> Any:
        return F.rms_norm(x, gain.shape, gain, self.config.norm_eps)

    def _turn(self, x: Any) -> Any:
        half = x.shape[-1] // 2
        first, second = x[..., :half], x[..., half:]
        cos, sin = self.cos_TR, self.sin_TR
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    def _attention(self, x_BTD: Any, part: dict[str, Any]) -> Any:
        n_heads, size = self.config.n_heads, self.config.key_size
        w_qkv_DX, w_out_XD = part["attention.w_qkv_DX"], part["attention.w_out_XD"]
        q_gain, k_gain = part["attention.q_gain"], part["attention.k_gain"]
        if self.fused:
            n_sequences, length, _ = x_BTD.shape
            qkv = (x_BTD @ w_qkv_DX).view(n_sequences, length, 3, n_heads, size)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            q, k = self._turn(self._norm(q, q_gain)), self._turn(self._norm(k, k_gain))
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return out.transpose(1, 2).reshape(n_sequences, length, -1) @ w_out_XD
        heads = []
        for w_q, w_k, w_v in zip(*(w.split(size, 1) for w in w_qkv_DX.chunk(3, 1)), strict=True):
            q = self._turn(self._norm(x_BTD @ w_q, q_gain))
            k = self._turn(self._norm(x_BTD @ w_k, k_gain))
            scores = q @ k.transpose(-2, -1) * size**-0.5
            scores = scores.masked_fill(self.mask_TT, float("-inf"))
            heads.append(F.softmax(scores, dim=-1) @ (x_BTD @ w_v))
        return torch.cat(heads, -1) @ w_out_XD

    def _ffn(self, x_BTD: Any, part: dict[str, Any]) -> tuple[Any, Any]:
        x_ND = x_BTD.flatten(0, 1)
        names = [name for name in part if name.startswith("ffn.w_")]
        down = next(part[name] for name in names if "down" in name)
        up = next(part[name] for name in names if "down" not in name)
        if not self.config.n_experts:
            return (self._hidden(x_ND @ up) @ down).view_as(x_BTD), 0.0
        score_NE = F.softmax(x_ND @ part["ffn.gate_DE"], dim=-1)
        weight_NK, expert_NK = score_NE.topk(self.config.k, dim=-1)
        weight_NK = weight_NK / weight_NK.sum(-1, keepdim=True)
        y_ND = torch.zeros_like(x_ND)
        weight_NE = torch.zeros_like(score_NE).scatter(1, expert_NK, weight_NK)
        for expert in range(self.config.n_experts):
            chosen_N = (expert_NK == expert).any(-1)
            if self.fused:
                rows = chosen_N.nonzero()[:, 0]
                result = self._hidden(x_ND[rows] @ up[expert]) @ down[expert]
                y_ND = y_ND.index_add(0, rows, result * weight_NE[rows, expert, None])
            elif chosen_N.any():
                result = self._hidden(x_ND[chosen_N] @ up[expert]) @ down[expert]
                y_ND[chosen_N] += result * weight_NE[chosen_N, expert].unsqueeze(1)
        return y_ND.view_as(x_BTD), self._balance_loss(score_NE, expert_NK)

    def _hidden(self, h: Any) -> Any:
        if self.config.activation == "swiglu":
            gate, up = h.chunk(2, -1)
            return F.silu(gate) * up
        return F.relu(h) if self.config.activation == "relu" else F.gelu(h, approximate="tanh")

    def _balance_loss(self, score_NE: Any, expert_NK: Any) -> Any:
        if not isinstance(self.balancer, AuxLoss):
            return 0.0
        n_experts = score_NE.shape[1]
        share_E = torch.bincount(expert_NK.flatten(), minlength=n_experts) / expert_NK.numel()
        return self.balancer.coefficient * n_experts * (share_E * score_NE.mean(0)).sum()
