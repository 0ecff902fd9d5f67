"""Training a small model on pairs: three stages, checkpoints that resume exactly."""
