"""A checkpoint on the page Your model: one of its layers, at work on random inputs."""

from __future__ import annotations


def show_checkpoint(name: str, raw: bytes) -> None:
    """Show it."""
