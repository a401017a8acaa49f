"""Models in the formats that others run."""
