"""The kinds of match: a coupling between the cells of two grids."""
