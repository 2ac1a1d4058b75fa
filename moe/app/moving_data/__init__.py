"""The page Moving data: what goes from chip to chip, and how long it takes."""
