"""Drawings of artists, SVG: rendered as lines alone, and as layers that take any colours."""
