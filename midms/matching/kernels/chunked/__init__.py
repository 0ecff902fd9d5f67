"""Attention in plain torch, slice by slice, see `implementation`."""
