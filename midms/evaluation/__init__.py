"""For researchers: metrics and ablations."""
