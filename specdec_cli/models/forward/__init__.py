"""What computes a pass: transformers' module for any model, leaner code for the families that allow it."""
