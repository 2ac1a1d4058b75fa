"""The page Routers: two routers on one sentence."""
