"""Weights: one folder format, safetensors, and conversion from the formats of others."""
