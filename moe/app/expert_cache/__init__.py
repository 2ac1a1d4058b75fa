"""The page Little memory: experts that do not all fit, and who should stay."""
