"""The page Balance: two training runs beside each other, played."""
