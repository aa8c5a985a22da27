"""Studies: one module per table or figure of the sources; see `experiments.study`."""
