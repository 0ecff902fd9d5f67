"""Many translations: pairs a second, memory, and what a large table costs."""
