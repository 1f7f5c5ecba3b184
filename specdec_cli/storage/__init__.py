"""Files that a run writes: claimed for its time, whole or not at all, and lost to no kill or full disk."""
