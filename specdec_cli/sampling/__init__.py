"""Logits to distributions, and chance: the only room that normalises, filters, ranks or draws."""
