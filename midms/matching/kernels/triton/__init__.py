"""The streaming coupling in Triton: a kernel, its launch and its gradient are neighbours."""
