"""An audit of any encoder: what it does to dimension, to similarity order and to zero."""
