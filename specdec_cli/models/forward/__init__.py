"""What computes a pass: transformers' module for any model, fused code for the families that allow it."""
