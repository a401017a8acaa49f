"""Evaluation of models: scores, significance, efficiency, memory, energy."""
