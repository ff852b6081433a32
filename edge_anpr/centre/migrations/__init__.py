"""How the tables came to be, one revision a file; run by `upgrading.py` when a centre opens its records."""
