"""What was measured, for people: tables, plots, and pages."""
