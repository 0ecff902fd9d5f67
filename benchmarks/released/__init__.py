"""The released model: parity, its check, and the cost of inference."""
