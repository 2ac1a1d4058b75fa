"""Many runs of an experiment over a grid of settings, kept one row at a time and reported."""
