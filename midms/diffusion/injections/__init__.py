"""One injection a file: what of an exemplar goes into which layers of a network. `common` is what they share."""
