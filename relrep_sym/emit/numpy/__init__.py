"""The NumPy backend: printer, names, fragments, templates."""
