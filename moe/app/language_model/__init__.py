"""The page Language model: a model with experts and dense ones read the same text."""
