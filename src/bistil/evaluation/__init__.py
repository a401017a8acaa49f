"""What models score and cost: scores, significance, efficiency, memory, energy."""
