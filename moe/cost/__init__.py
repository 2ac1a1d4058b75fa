"""What layers cost: parameters, floating-point operations, bytes."""

from .feed_forward import FeedForward, expected_experts

__all__ = ["FeedForward", "expected_experts"]
