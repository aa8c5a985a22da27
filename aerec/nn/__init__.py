"""The parts of models: activations, layers, losses, recurrence, wide softmax, least squares."""
