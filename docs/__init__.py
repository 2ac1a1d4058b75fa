"""The documentation: pages, and the code that writes some of them."""
