"""The page Be the gate: a minute in which the visitor does the work of a router."""
