"""The bundled example: its data and its recipe."""
