"""The recipe: validated YAML and plain Python alike."""
