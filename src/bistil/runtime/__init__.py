"""What runs without torch."""
