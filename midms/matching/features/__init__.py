"""What cells are compared by. Each file is one extractor; importing this imports none of them."""
