"""The small language between the equations and a backend; no SymPy."""
