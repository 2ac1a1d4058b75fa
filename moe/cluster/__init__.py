"""Experts on many devices: where they live, what moves between them, and how long it takes."""
