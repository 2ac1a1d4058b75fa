"""The page How many experts: what their number is worth, beside 223 models that were trained."""
