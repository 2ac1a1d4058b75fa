"""The page Code and docs: the documentation and the source, as this server has them."""
