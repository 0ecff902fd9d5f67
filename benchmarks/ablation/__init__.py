"""What each part gives, on faces."""
