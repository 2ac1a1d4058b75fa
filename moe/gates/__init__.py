"""Checks of somebody else's gate against every combination of known bugs."""
