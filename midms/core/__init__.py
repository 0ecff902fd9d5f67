"""What every part builds on: records, protocols, errors, files. Importing this loads no torch."""
