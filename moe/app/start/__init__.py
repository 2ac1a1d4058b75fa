"""The page Start: what a mixture of experts does to one sentence."""
