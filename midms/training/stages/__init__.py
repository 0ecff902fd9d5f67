"""What is trained, a stage a file: its network, its loss, its figures on held-out pairs."""
