"""How a portrait is made: its parameters, its surface, its paint, and the hand that sketches it."""
