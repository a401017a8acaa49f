"""Sparse fine-tuning: the delta between two models, the choice of its entries, and its files."""
