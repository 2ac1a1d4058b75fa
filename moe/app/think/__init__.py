"""The page Think: a model that is rewarded for right answers only, and what that does to length."""
