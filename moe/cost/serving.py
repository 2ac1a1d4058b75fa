"""A day of serving: what the GPUs cost against what the tokens would bring."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import check_float, check_int


@dataclass(frozen=True)
class ServingDay:
    """24 hours of a service; the defaults are DeepSeek's of 27-28 February 2025.

    Parameters
    ----------
    nodes, gpus_per_node
        Mean nodes in use, and their GPUs.
    dollars_per_hour
        Rent of one GPU.
    input_tokens, cached_tokens, output_tokens
        Tokens read, those among them found in the cache, and tokens written.
    price_input, price_cached, price_output
        Dollars per million tokens.

    Source: deepseek-ai/open-infra-index, 202502OpenSourceWeek, day 6.
    """

    nodes: float = 226.75
    gpus_per_node: int = 8
    dollars_per_hour: float = 2.0
    input_tokens: float = 608e9
    cached_tokens: float = 342e9
    output_tokens: float = 168e9
    price_input: float = 0.55
    price_cached: float = 0.14
    price_output: float = 2.19

    def __post_init__(self) -> None:
        check_int("gpus_per_node", self.gpus_per_node, 1)
        check_float("nodes", self.nodes, 0.0, open_low=True)
        check_float("dollars_per_hour", self.dollars_per_hour, 0.0, open_low=True)
        check_float("input_tokens", self.input_tokens, 0.0)
        check_float("cached_tokens", self.cached_tokens, 0.0, self.input_tokens)
        for name in ("output_tokens", "price_input", "price_cached", "price_output"):
            check_float(name, getattr(self, name), 0.0)

    @property
    def cost(self) -> float:
        """Dollars of rent."""
        return self.nodes * self.gpus_per_node * 24 * self.dollars_per_hour

    @property
    def income(self) -> float:
        """Dollars if every token were paid at the list price, which was not so."""
        fresh = self.input_tokens - self.cached_tokens
        return (
            fresh * self.price_input
            + self.cached_tokens * self.price_cached
            + self.output_tokens * self.price_output
        ) / 1e6

    @property
    def profit_over_cost(self) -> float:
        """The published "cost profit margin": profit as a share of the cost."""
        return self.income / self.cost - 1
