"""The page Savings: an MoE layer against dense ones, counted and measured."""
