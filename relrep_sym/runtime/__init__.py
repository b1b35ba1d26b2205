"""NumPy only: what generated modules import."""
