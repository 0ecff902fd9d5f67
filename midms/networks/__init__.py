"""Layers and networks that several parts use, and how quickly they are computed."""
