"""EAGLE heads: drafts that read the target's hidden states (Li et al. 2024, arXiv:2401.15077)."""
