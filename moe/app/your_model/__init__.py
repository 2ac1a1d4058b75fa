"""The page Your model: a visitor's trace or weights, counted and explained."""
