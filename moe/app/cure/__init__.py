"""The page Cure: controllers that keep the load even."""
