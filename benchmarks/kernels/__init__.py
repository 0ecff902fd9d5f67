"""The hot path: speed, memory and precision against peers."""
