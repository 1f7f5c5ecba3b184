"""A draft for a target: the target writes text, and a small model learns its distribution on it."""
