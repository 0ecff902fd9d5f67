"""The faces model against its baselines, and what it knows."""
