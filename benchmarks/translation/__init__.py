"""A pipeline against the targets of any data set, beside what needs no translation."""
