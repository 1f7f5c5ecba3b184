"""Is the text any good? Data sets with references, and metrics."""
