"""What a language model consists of: a frozen set of options, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import check_int, shown
from ..experts import check_activation
from ..named_options import option_value, parse_named_options
from ..routers import ROUTERS, Router, make_router
from ..settings import Settings, option

QK_NORMS = ("none", "head", "width")


@dataclass(frozen=True)
class LMConfig(Settings):
    """Sizes and kinds of a decoder-only transformer; what each means is its field's `help`.

    The defaults are the quick model: it trains within three minutes on two cores.
    """

    n_vocab: int = option(256, "Kinds of tokens; of bytes there are 256.", low=2, high=1 << 20)
    context: int = option(64, "Positions that the model sees.", low=2, high=1 << 20)
    n_layers: int = option(2, "Blocks of attention and feed-forward.", low=1, high=256)
    d_model: int = option(64, "Width of a token's vector.", low=2, high=16384)
    n_heads: int = option(4, "Heads of attention.", low=1, high=1024)
    n_kv_heads: int | None = option(
        None, "Heads of keys and values, which heads share (GQA); by default as many.", low=1
    )
    head_size: int | None = option(
        None, "Width of a head's queries and keys; by default d_model over n_heads.", low=2
    )
    qk_norm: str = option(
        "head", "Norm of queries and keys: none, for each head, or over the width.", among=QK_NORMS
    )
    rope_theta: float = option(1000.0, "Base of the rotary positions.", low=1, high=1e9)
    rope_size: int | None = option(
        None, "Columns of a head that rotate, its last ones; by default all.", low=2
    )
    interleaved: bool = option(False, "Whether rotating columns are neighbours (DeepSeek).")
    kv_rank: int = option(
        0, "Width of the latent that keys and values come from (MLA); 0 for ordinary heads.", low=0
    )
    q_rank: int = option(0, "Width of the latent of the queries (MLA); 0 for none.", low=0)
    value_size: int | None = option(
        None, "Width of a head's values (MLA); by default that of its keys.", low=1
    )
    n_experts: int = option(16, "Routed experts of a layer; 0 for a dense model.", low=0, high=1024)
    k: int = option(2, "Experts per token, for routers that take it.", low=1)
    d_expert: int = option(64, "Width inside an expert.", low=1, high=1 << 16)
    n_shared: int = option(0, "Shared experts, which every token uses.", low=0, high=64)
    n_dense: int = option(0, "First layers that are dense, as in DeepSeek-V3.", low=0)
    d_dense: int | None = option(
        None, "Width inside a dense layer; by default that of a token's experts together.", low=1
    )
    router: str = option("topk", "How tokens choose experts: a key of moe.ROUTERS.", among=ROUTERS)
    router_options: str = option(
        "", "The router's other options, such as 'renormalize=False' or 'n_group=4,topk_group=2'."
    )
    activation: str = option("swiglu", "What a feed-forward computes: swiglu, gelu or relu.")
    tied: bool = option(False, "Whether the output is the embedding, transposed.")
    norm_eps: float = option(1e-6, "What a norm adds under its root.", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_activation(self.activation)
        heads = f"n_heads is {self.n_heads}"
        if self.head_size is None and self.d_model % self.n_heads:
            raise ValueError(
                f"n_heads: got {self.n_heads}, allowed is a divisor of d_model ({self.d_model}) or "
                "a head_size beside it"
            )
        if self.n_kv_heads is not None:
            check_int("n_kv_heads", self.n_kv_heads, 1, self.n_heads, heads)
            if self.n_heads % self.n_kv_heads:
                raise ValueError(
                    f"n_kv_heads: got {self.n_kv_heads}, allowed is a divisor of n_heads "
                    f"({self.n_heads})"
                )
        if self.rotating % 2 or self.rotating > self.key_size:
            raise ValueError(
                f"rope_size: got {self.rotating}, allowed is an even number up to the width of a "
                f"head ({self.key_size})"
            )
        if self.latent and (self.n_kv_heads is not None or self.rope_size is None):
            raise ValueError(
                f"kv_rank: got {self.kv_rank}, allowed is it with rope_size and without n_kv_heads"
            )
        if not self.latent and (self.q_rank or self.value_size is not None):
            raise ValueError(
                f"q_rank: got {self.q_rank} and value_size {self.value_size}, allowed are they "
                "with kv_rank"
            )
        check_int("n_dense", self.n_dense, 0, self.n_layers, f"n_layers is {self.n_layers}")
        if self.n_experts:
            check_int("k", self.k, 1, self.n_experts, f"n_experts is {self.n_experts}")
            self.make_router().check(self.n_experts)

    @property
    def latent(self) -> bool:
        """Whether keys and values come from a latent (MLA)."""
        return self.kv_rank > 0

    @property
    def key_size(self) -> int:
        """Width of a head's queries and keys, C."""
        return self.head_size or self.d_model // self.n_heads

    @property
    def rotating(self) -> int:
        """Columns of a head that rotate."""
        return self.key_size if self.rope_size is None else self.rope_size

    @property
    def head_shape(self) -> tuple[int, int, int, int]:
        """H, G, C and U: heads, those of keys and values, and the widths of keys and values."""
        n_kv = self.n_heads if self.n_kv_heads is None else self.n_kv_heads
        return self.n_heads, n_kv, self.key_size, self.value_size or self.key_size

    @property
    def dense_width(self) -> int:
        """Width inside a dense layer."""
        return self.d_dense or self.d_expert * (self.k + self.n_shared)

    def is_moe(self, layer: int) -> bool:
        """Whether a layer, counted from 0, has experts."""
        return self.n_experts > 0 and layer >= self.n_dense

    def make_router(self) -> Router:
        """Return the router that these options name."""
        known = make_router(self.router).options()
        return make_router(self.router, **({"k": self.k} if "k" in known else {}), **self._more())

    def _more(self) -> dict[str, Any]:
        """The router's other options, each of its default's type."""
        parts = parse_named_options(f"{self.router}({self.router_options})")
        stated = parts[0][1] if parts is not None and len(parts) == 1 else {"": None}
        if None in stated.values():
            raise ValueError(
                f"router_options: got {shown(self.router_options)}, allowed are options as in "
                "'renormalize=False,scale=1.0'"
            )
        known = {n: v for n, v in make_router(self.router).options().items() if n != "k"}
        options = {name: option_value(str(text)) for name, text in stated.items()}
        for name, value in options.items():
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise ValueError(f"router_options: got {name!r}, allowed is one of {allowed}")
            kinds = (int, float) if type(known[name]) is float else (type(known[name]),)
            if known[name] is not None and type(value) not in kinds:
                raise ValueError(
                    f"router_options: {name}: got {shown(value)}, allowed is a {kinds[-1].__name__}"
                )
        return options


def options_text(router: Router) -> str:
    """What `LMConfig.router_options` says of a router: all but k that is not its default."""
    usual = make_router(router.name).options()
    changed = {n: v for n, v in router.options().items() if n != "k" and v != usual[n]}
    return ",".join(f"{name}={value}" for name, value in changed.items())
