"""From registry keys to parts that fit: specs, presets, slots and their checks."""
