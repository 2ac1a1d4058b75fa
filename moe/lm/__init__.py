"""A small language model around the layer: it reads bytes, and trains in minutes on two cores."""
