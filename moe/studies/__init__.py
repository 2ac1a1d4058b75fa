"""Experiments with the library: frozen settings in, records and words computed from them out."""
