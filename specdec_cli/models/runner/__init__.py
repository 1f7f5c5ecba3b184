"""What drives a model: its text, tree and cache rows, and whether it can be driven at all."""
