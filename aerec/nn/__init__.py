"""What models are made of: activations, layers, losses, recurrence, wide softmax, least squares."""
