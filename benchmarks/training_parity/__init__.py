"""Our training step against recorded steps of the released MIDMs, see `__main__`."""
