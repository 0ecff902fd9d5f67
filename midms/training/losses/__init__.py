"""What stages are trained with, a module for each that has losses of its own."""
