from layouts import layouts, sample  # noqa: F401  (fixtures)
