"""Several models as one: declared laws and exact ways to sample them; and segments that win votes."""
