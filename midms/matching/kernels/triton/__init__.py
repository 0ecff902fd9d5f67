"""Attention in Triton, see `attend`; each kernel stands in the file of its launch."""
