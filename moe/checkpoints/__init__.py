"""Published checkpoints in and out: safe files below, a small table per model family on top."""
