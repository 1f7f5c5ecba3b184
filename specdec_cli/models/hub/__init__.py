"""From a model's name to a folder with its files: hub, package index, GGUF files, the cache folder."""
