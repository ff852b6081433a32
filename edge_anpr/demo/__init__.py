"""The demo's clip, list and config. The plates in them were never issued."""
