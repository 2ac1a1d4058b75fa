"""Budget to experts: the unified law of routed language models, and what it says of a size."""
