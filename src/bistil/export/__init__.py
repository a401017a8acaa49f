"""Models in the forms that others run."""
