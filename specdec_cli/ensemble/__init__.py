"""Several models as one: declared laws, and ways to sample them exactly."""
