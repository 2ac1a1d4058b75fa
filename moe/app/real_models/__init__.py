"""The page Real models: published models' sizes, and what they need on a machine."""
