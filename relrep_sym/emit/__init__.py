"""Out of the equations: lowering, LaTeX, and a folder for each backend."""
