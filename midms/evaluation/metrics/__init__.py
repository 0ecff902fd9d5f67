"""Figures of merit for pictures and matches, and what a run costs. Importing this imports none of them."""
