"""What presets around text-to-image models ask of a network, and of memory."""
