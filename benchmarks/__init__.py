"""Measured against peers: ratios within the same blocks of one run, never absolute times."""
