"""Measured against peers: ratios within one run of alternating blocks, never absolute times."""
