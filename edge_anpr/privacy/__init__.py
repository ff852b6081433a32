"""Everything that forgets or locks."""
