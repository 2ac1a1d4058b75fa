"""What pages share: their parts, the first page's model, places to train, kept results."""
