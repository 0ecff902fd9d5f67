"""What was measured, for people: tables, plots, and pages that are one file each."""
