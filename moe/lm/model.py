"""`LanguageModel`: bytes in, the chances of the next byte out; forward, loss and gradients.

    V   kinds of tokens         B   sequences       D   width of the model
    T   positions               N   rows, B * T     E   experts of a layer

The layers are `moe.MoELayer`, so that whatever holds for that layer holds for each of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import kernels
from ..balance import Balancer
from ..dense import DenseFFN
from ..errors import check_dtype, check_int, shown
from ..layer import MoELayer
from ..routing import Routing
from .attention import Arrays, Cache, Positions
from .block import Block
from .config import LMConfig
from .passes import BlockContext, Gradients, LMContext
from .rotation import rotation

RESIDUAL = "residual_EE"  # of routers that look at the logits of the layer before


@dataclass(eq=False)
class LanguageModel:
    """A decoder-only transformer whose feed-forward layers may be mixtures of experts.

    Build one with `LanguageModel.init`. An edit of an array in place takes effect at the next call.

    Attributes
    ----------
    config
        Sizes and kinds.
    blocks
        The layers, in order.
    params
        `embed_VD`, `gain_D` of the last norm, and `out_DV` unless embedding and output are tied.
    balancer
        What keeps the load even; its state stands in the layers' buffers.
    """

    config: LMConfig
    blocks: tuple[Block, ...]
    params: Arrays
    balancer: Balancer | None = None

    @classmethod
    def init(
        cls,
        config: LMConfig,
        seed: int = 0,
        dtype: str = "float32",
        balancer: Balancer | None = None,
    ) -> LanguageModel:
        """Make a model with fresh weights; the output starts at zero unless it is tied.

        Parameters
        ----------
        config
            Sizes and kinds.
        seed, dtype
            Same seed, same bits; 'float32' or 'float64'.
        balancer
            What keeps the load even, if there are experts.

        Raises
        ------
        ValueError
            If an argument is not allowed.
        """
        check_int("seed", seed, 0)
        dtype = check_dtype(dtype)
        rng = np.random.default_rng(seed)
        tied_spread = config.d_model**-0.5
        embed_VD = rng.standard_normal((config.n_vocab, config.d_model))
        params = {
            "embed_VD": embed_VD * (tied_spread if config.tied else 0.5),
            "gain_D": np.ones(config.d_model),
        }
        if not config.tied:
            params["out_DV"] = np.zeros((config.d_model, config.n_vocab))
        params = {name: array.astype(dtype) for name, array in params.items()}
        blocks = tuple(Block.init(config, n, rng, dtype) for n in range(config.n_layers))
        model = cls(config, blocks, params)
        if balancer is not None and config.n_experts:
            model.balance_by(balancer)
        return model

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that the model computes in."""
        return self.params["embed_VD"].dtype

    @property
    def moe_layers(self) -> list[MoELayer]:
        """The layers that have experts, in order."""
        return [block.ffn for block in self.blocks if isinstance(block.ffn, MoELayer)]

    @property
    def n_params(self) -> int:
        """Numbers in all parameters."""
        return sum(array.size for array in self.arrays().values())

    @property
    def causal(self) -> bool:
        """Whether no later token can change an earlier one's routing."""
        return all(layer.router.causal and layer.capacity.causal for layer in self.moe_layers)

    def arrays(self) -> Arrays:
        """Every parameter by name: those around the blocks, and 'blocks.0.ffn.gate_DE'."""
        found = dict(self.params)
        for number, block in enumerate(self.blocks):
            found |= {f"blocks.{number}.{name}": array for name, array in block.arrays()}
        return found

    def state(self) -> Arrays:
        """What the balancer steers, by name, such as 'blocks.0.ffn.select_bias_E'."""
        return {
            f"blocks.{number}.ffn.{name}": array
            for number, block in enumerate(self.blocks)
            if isinstance(block.ffn, MoELayer)
            for name, array in block.ffn.buffers.items()
        }

    def with_layers(self, layers: Sequence[MoELayer]) -> LanguageModel:
        """Return the model with these in place of its layers with experts; all else is shared.

        Raises
        ------
        ValueError
            If there is not one for each, or they have different numbers of experts.
        """
        sizes = {layer.n_experts for layer in layers}
        if len(layers) != len(self.moe_layers) or len(sizes) != 1:
            raise ValueError(
                f"layers: got {len(layers)} of {sorted(sizes)} experts, allowed are "
                f"{len(self.moe_layers)} of as many each"
            )
        rest = iter(layers)
        blocks = tuple(
            replace(block, ffn=next(rest)) if isinstance(block.ffn, MoELayer) else block
            for block in self.blocks
        )
        config = replace(self.config, n_experts=sizes.pop())
        return LanguageModel(config, blocks, self.params, self.balancer)

    def balance_by(self, balancer: Balancer) -> None:
        """Let a balancer keep the load of every layer even from now on.

        Raises
        ------
        ValueError
            If it cannot act on the model's router.
        """
        for layer in self.moe_layers:
            if not balancer.fits(layer.router):
                raise ValueError(
                    f"balancer: got {balancer.name!r}, allowed is one that fits the router "
                    f"{layer.router.name!r}"
                )
            layer.buffers |= balancer.init_state(layer.n_experts)
        self.balancer = balancer

    # Forward --------------------------------------------------------------------------------------

    def positions(self, n_sequences: int, start: int, n_new: int) -> Positions:
        """Where the rows of `n_new` positions after `start` stand in each of the sequences."""
        tables = rotation(self.config.rotating // 2, self.config.rope_theta, self.dtype.name)
        position_N = np.tile(np.arange(start, start + n_new), n_sequences)
        return Positions(n_sequences, position_N, *tables(start + n_new))

    def forward(
        self,
        tokens_BT: np.ndarray,
        rng: np.random.Generator | None = None,
        caches: Sequence[Cache] | None = None,
    ) -> LMContext:
        """Run the model up to its last norm.

        Parameters
        ----------
        tokens_BT
            Tokens of whole sequences, (B, T) integers below V.
        rng
            Source of router noise while training; without it there is none.
        caches
            One for each block, which gets its keys and values.

        Raises
        ------
        ValueError
            If the tokens have another shape, or one of them is not below V.
        """
        tokens_BT = self._check_tokens("tokens_BT", tokens_BT)
        token_N1 = tokens_BT.reshape(-1, 1)
        at = self.positions(len(tokens_BT), 0, tokens_BT.shape[1])
        x_ND = kernels.embed(self.params["embed_VD"][None], token_N1)
        added_ND, previous_NE, kept = None, None, []
        for number, block in enumerate(self.blocks):
            x_ND, a_ND, inverse_N = self._norm(x_ND, added_ND, block.norms["attention_gain_D"])
            cache = None if caches is None else caches[number]
            y_ND, attention = block.attention.forward(a_ND, at, cache)
            middle_ND, b_ND, middle_inverse_N = self._norm(x_ND, y_ND, block.norms["ffn_gain_D"])
            added_ND, ffn = self._ffn(block, b_ND, token_N1[:, 0], rng, previous_NE)
            previous_NE = ffn.routing.logits_NE if isinstance(block.ffn, MoELayer) else None
            kept.append(BlockContext(x_ND, inverse_N, attention, middle_ND, middle_inverse_N, ffn))
            x_ND = middle_ND
        x_ND, h_ND, inverse_N = self._norm(x_ND, added_ND, self.params["gain_D"])
        return LMContext(tokens_BT, tuple(kept), x_ND, inverse_N, h_ND)

    def step(
        self, token_B: np.ndarray, caches: Sequence[Cache], length: int
    ) -> tuple[np.ndarray, list[Routing]]:
        """Logits (B, V) after one more token per sequence, and the layers' routings.

        Parameters
        ----------
        token_B
            The token at position `length` of each sequence.
        caches
            One for each block, from `forward`; they get the new position.
        length
            Positions that they hold.
        """
        at = self.positions(len(token_B), length, 1)
        x_BD = kernels.embed(self.params["embed_VD"][None], token_B[:, None])
        added_BD, previous_BE, routings = None, None, []
        for block, cache in zip(self.blocks, caches, strict=True):
            x_BD, a_BD, _ = self._norm(x_BD, added_BD, block.norms["attention_gain_D"])
            y_BD = block.attention.step(a_BD, at, cache, length)
            x_BD, b_BD, _ = self._norm(x_BD, y_BD, block.norms["ffn_gain_D"])
            added_BD, ffn = self._ffn(block, b_BD, token_B, None, previous_BE)
            previous_BE = None
            if isinstance(block.ffn, MoELayer):
                routings.append(ffn.routing)
                previous_BE = ffn.routing.logits_NE
        h_BD = self._norm(x_BD, added_BD, self.params["gain_D"])[1]
        return self.output(h_BD), routings

    def _norm(
        self, x_ND: np.ndarray, added_ND: np.ndarray | None, gain_D: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The residual's sum, its norm and the inverse root; at first nothing adds to it."""
        if added_ND is None:
            return x_ND, *kernels.rms_norm(x_ND, gain_D, self.config.norm_eps)
        return kernels.add_rms_norm(x_ND, added_ND, gain_D, self.config.norm_eps)

    @staticmethod
    def _ffn(
        block: Block, x_ND: np.ndarray, token_N: np.ndarray,
        rng: np.random.Generator | None, previous_NE: np.ndarray | None,
    ) -> tuple[np.ndarray, Any]:  # fmt: skip
        if isinstance(block.ffn, DenseFFN):
            return block.ffn.forward(x_ND)
        residual = RESIDUAL in block.ffn.params
        return block.ffn.forward(
            x_ND, rng=rng, token_ids=token_N, previous_NE=previous_NE if residual else None
        )

    def output(self, h_ND: np.ndarray) -> np.ndarray:
        """Logits (N, V) of what `forward` returns."""
        return np.asarray(kernels.matmul(h_ND, self.out_DV))

    @property
    def out_DV(self) -> np.ndarray:
        """The output map, (D, V)."""
        if self.config.tied:
            return np.ascontiguousarray(self.params["embed_VD"].T)
        return self.params["out_DV"]

    def logits(self, tokens_BT: np.ndarray) -> np.ndarray:
        """Logits of the next token at every position, (B, T, V)."""
        ctx = self.forward(tokens_BT)
        return self.output(ctx.h_ND).reshape(*ctx.tokens_BT.shape, -1)

    def token_losses(self, tokens_BT: np.ndarray, target_BT: np.ndarray) -> np.ndarray:
        """Minus the log of each target's chance, in nats, (B, T)."""
        target_BT = self._check_tokens("target_BT", target_BT, np.shape(tokens_BT))
        ctx = self.forward(tokens_BT)
        loss_N = kernels.token_losses(ctx.h_ND, self.out_DV, target_BT.reshape(-1))
        return loss_N.reshape(target_BT.shape)

    # Backward -------------------------------------------------------------------------------------

    def gradients(
        self,
        tokens_BT: np.ndarray,
        target_BT: np.ndarray,
        weight_BT: np.ndarray | None = None,
        rng: np.random.Generator | None = None,
    ) -> Gradients:
        """Loss of a batch and its gradient at every parameter, the balancer's part included.

        Parameters
        ----------
        tokens_BT, target_BT
            Tokens and those that follow them, (B, T).
        weight_BT
            Factors of the losses, which are then added up: 0 leaves a target out, a negative one
            makes it less likely. Without them the loss is the mean.
        rng
            Source of router noise.

        Raises
        ------
        ValueError
            If an array has another shape or a token is not below V.
        """
        target_BT = self._check_tokens("target_BT", target_BT, np.shape(tokens_BT))
        ctx = self.forward(tokens_BT, rng)
        n_rows = ctx.h_ND.shape[0]
        if weight_BT is None:
            weight_N = np.full(n_rows, 1 / n_rows, self.dtype)
        else:
            weight_N = self._check_weights(weight_BT, target_BT.shape)
        loss_N, dh_ND, dout_DV = kernels.classify(
            ctx.h_ND, self.out_DV, target_BT.reshape(-1), weight_N
        )
        balance, arrays = self.backward(dh_ND, dout_DV, ctx)
        loss = float(np.dot(weight_N.astype(np.float64), loss_N))
        return Gradients(loss_N, loss, balance, arrays, ctx.routings)

    def backward(
        self, dh_ND: np.ndarray, dout_DV: np.ndarray, ctx: LMContext
    ) -> tuple[float, Arrays]:
        """The balancer's loss, and the gradient at every parameter.

        Parameters
        ----------
        dh_ND
            Gradient at what the output maps, `ctx.h_ND`.
        dout_DV
            Gradient at the output map.
        ctx
            From `forward`.
        """
        found: Arrays = {}
        dx_ND, dgain_D = kernels.rms_norm_backward(
            dh_ND, ctx.sum_ND, self.params["gain_D"], ctx.inverse_N
        )
        balance_loss, dprevious_NE = 0.0, None
        for number in reversed(range(len(self.blocks))):
            block, kept = self.blocks[number], ctx.blocks[number]
            dffn_ND, grads, loss, dprevious_NE = self._ffn_backward(
                block.ffn, dx_ND, kept.ffn, dprevious_NE
            )
            balance_loss += loss
            named = {f"ffn.{name}": grad for name, grad in grads.items()}
            dnorm_ND, named["ffn_gain_D"] = kernels.rms_norm_backward(
                dffn_ND, kept.middle_ND, block.norms["ffn_gain_D"], kept.middle_inverse_N
            )
            dx_ND += dnorm_ND
            da_ND, grads = block.attention.backward(dx_ND, kept.attention)
            named |= {f"attention.{name}": grad for name, grad in grads.items()}
            dnorm_ND, named["attention_gain_D"] = kernels.rms_norm_backward(
                da_ND, kept.x_ND, block.norms["attention_gain_D"], kept.inverse_N
            )
            dx_ND += dnorm_ND
            found |= {f"blocks.{number}.{name}": grad for name, grad in named.items()}
        token_N1 = ctx.tokens_BT.reshape(-1, 1)
        dembed_VD = kernels.embed_backward(dx_ND, token_N1, self.config.n_vocab)[0]
        around = {"embed_VD": dembed_VD, "gain_D": dgain_D}
        if self.config.tied:
            dembed_VD += dout_DV.T
        else:
            around["out_DV"] = dout_DV
        found |= around
        return balance_loss, {name: found[name] for name in self.arrays()}

    def _ffn_backward(
        self, ffn: MoELayer | DenseFFN, dy_ND: np.ndarray, ctx: Any,
        dprevious_NE: np.ndarray | None,
    ) -> tuple[np.ndarray, Arrays, float, np.ndarray | None]:  # fmt: skip
        """Gradients of a feed-forward part, the balancer's loss, and that at the logits before."""
        if isinstance(ffn, DenseFFN):
            return *ffn.backward(dy_ND, ctx), 0.0, None
        if self.balancer is None:
            dx_ND, grads = ffn.backward(dy_ND, ctx, dprevious_NE)
            return dx_ND, grads, 0.0, grads.pop("previous_NE", None)
        added = self.balancer.loss(ctx.routing, ffn.buffers)
        dlogits_NE = added.dlogits_NE
        if dprevious_NE is not None:
            dlogits_NE = dprevious_NE if dlogits_NE is None else dlogits_NE + dprevious_NE
        dx_ND, grads = ffn.backward(dy_ND, ctx, dlogits_NE, added.extra)
        param_loss, param_grads = self.balancer.param_loss(ffn.params)
        grads |= {name: grads[name] + grad for name, grad in param_grads.items()}
        return dx_ND, grads, added.value + param_loss, grads.pop("previous_NE", None)

    def steer(self, routings: Sequence[Routing]) -> None:
        """Let the balancer step the buffers of every layer, after a batch with these routings."""
        if self.balancer is not None:
            for layer, routing in zip(self.moe_layers, routings, strict=True):
                self.balancer.update(layer.buffers, routing)

    # Checks ---------------------------------------------------------------------------------------

    def _check_tokens(
        self, name: str, tokens_BT: Any, shape: tuple[int, ...] | None = None
    ) -> np.ndarray:
        tokens_BT = np.asarray(tokens_BT)
        fits = tokens_BT.ndim == 2 and tokens_BT.shape[1] > 0 and tokens_BT.dtype.kind in "iu"
        if not fits or (shape is not None and tokens_BT.shape != shape):
            wanted = "(B, T)" if shape is None else str(shape)
            raise ValueError(
                f"{name}: got {tokens_BT.dtype} of shape {tokens_BT.shape}, allowed are integers "
                f"of shape {wanted}"
            )
        if tokens_BT.size and not 0 <= tokens_BT.min() <= tokens_BT.max() < self.config.n_vocab:
            wrong = tokens_BT.min() if tokens_BT.min() < 0 else tokens_BT.max()
            raise ValueError(
                f"{name}: got the token {shown(int(wrong))}, allowed are 0 to "
                f"{self.config.n_vocab - 1}"
            )
        return np.ascontiguousarray(tokens_BT, np.int64)

    def _check_weights(self, weight_BT: Any, shape: tuple[int, ...]) -> np.ndarray:
        weight_BT = np.asarray(weight_BT)
        if weight_BT.shape != shape or weight_BT.dtype.kind != "f":
            raise ValueError(
                f"weight_BT: got {weight_BT.dtype} of shape {weight_BT.shape}, allowed are floats "
                f"of shape {shape}"
            )
        if not np.isfinite(weight_BT).all():
            raise ValueError("weight_BT: got NaN or infinity, allowed are finite numbers only")
        return np.ascontiguousarray(weight_BT.reshape(-1), self.dtype)
