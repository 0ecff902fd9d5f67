"""One sampler a file; what they share is in `steps`."""
