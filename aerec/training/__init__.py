"""Training: batches, optimisers, one update, the loop over epochs."""
