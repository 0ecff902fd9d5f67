"""Training a small model on faces: data cached once, three stages, checkpoints that resume exactly."""
