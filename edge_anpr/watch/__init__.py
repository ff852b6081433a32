"""The list of plates somebody answers for, and the match against it."""
