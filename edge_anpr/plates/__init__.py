"""What a plate may be, without pictures."""
