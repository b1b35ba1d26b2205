"""SymPy: from a model and a chart to the frozen record of named equations; the stable nodes."""
