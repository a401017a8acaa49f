"""What is measured against whom, each with its own command."""
