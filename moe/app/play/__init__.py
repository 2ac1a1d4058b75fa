"""The page Play: a model that trains while it is watched, with controls that act on it."""
