"""What people call from Python: trim, distill, train, load, compare, run."""
