"""Tools for people at a desk; the daemons import nothing from here."""
