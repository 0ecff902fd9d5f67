"""One matcher a file."""
