"""Models: families, states, students, width; where a teacher comes from."""
