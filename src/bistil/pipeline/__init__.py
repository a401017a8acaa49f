"""A recipe becomes stages, stages become a report."""
