"""The HTTP service for task models, and what its page gets from it."""
