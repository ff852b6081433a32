"""Arrays in, values out: no I/O, clock, thread or log."""
