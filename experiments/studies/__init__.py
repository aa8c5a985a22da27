"""Studies: the tables and pictures of the sources, a module each; see `experiments.study`."""
