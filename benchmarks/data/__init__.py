"""What comes before training."""
