"""Experts spread over GPUs: what moves, how long it takes, what hides it."""

from .topology import Cluster
from .traffic import Traffic, traffic

__all__ = ["Cluster", "Traffic", "traffic"]
