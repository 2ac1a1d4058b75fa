"""The page Lessons: each stops at its questions until a number is given."""
