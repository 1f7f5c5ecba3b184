"""Who guesses what the target will say: chains, static trees, best-first trees and n-grams."""
