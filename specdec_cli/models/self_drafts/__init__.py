"""Drafts that are made of the target itself: its first layers, or copies of it that are cheaper to run."""
