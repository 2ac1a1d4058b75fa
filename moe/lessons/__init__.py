"""Lessons, and the steps in which a reader builds a layer."""
