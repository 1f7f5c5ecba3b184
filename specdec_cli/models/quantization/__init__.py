"""Weights of fewer bits: how they are held, multiplied and stored, and checkpoints that come with them."""
