"""The two processes of a unit and what they share."""
