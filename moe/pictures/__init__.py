"""What charts are made with: a figure with its words, and lines of text with a row per expert."""
