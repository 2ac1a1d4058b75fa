"""A day of serving: what the GPUs cost against what the tokens would bring."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import Settings, option


@dataclass(frozen=True)
class ServingDay(Settings):
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

    nodes: float = option(226.75, low=0, open_low=True)
    gpus_per_node: int = option(8, low=1)
    dollars_per_hour: float = option(2.0, low=0, open_low=True)
    input_tokens: float = option(608e9, low=0)
    cached_tokens: float = option(342e9, low=0, high="input_tokens")
    output_tokens: float = option(168e9, low=0)
    price_input: float = option(0.55, low=0)
    price_cached: float = option(0.14, low=0)
    price_output: float = option(2.19, low=0)

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
