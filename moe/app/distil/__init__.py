"""The page Distil: students with a teacher, and students that learn alone."""
