"""The reference centre: arms units with a signed list, withdraws it, opens the hits that are sealed to it."""
