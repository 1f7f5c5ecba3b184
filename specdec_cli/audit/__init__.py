"""Is it lossless? By enumeration on toys, by statistics and by teacher forcing on real models."""
