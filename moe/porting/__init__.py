"""Golden vectors: what a port of a gate to another language or framework is held against."""
