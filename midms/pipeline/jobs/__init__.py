"""Many translations: planned, paired, computed in batches, recorded, and shared among processes."""
