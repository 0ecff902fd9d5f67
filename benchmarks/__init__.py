"""Measurements: each command writes its own results file; documents quote that file."""
