"""Sparse fine-tuning: what changed in a model, and the lottery ticket that chooses it."""
