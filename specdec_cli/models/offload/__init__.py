"""Layers that do not stay in memory: read ahead of the computation, from the disk or from RAM to a GPU."""
