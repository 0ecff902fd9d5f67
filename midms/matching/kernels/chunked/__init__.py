"""The streaming coupling in plain torch."""
