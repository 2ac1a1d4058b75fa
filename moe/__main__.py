"""`python -m moe`."""

from .cli import main

main()
