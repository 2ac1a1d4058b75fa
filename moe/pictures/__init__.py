"""What charts are made with: figures with their words, shared marks, the palette, lines of text."""
