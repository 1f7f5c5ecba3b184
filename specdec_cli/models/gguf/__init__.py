"""GGUF files: what stands in them, and the model and tokenizer that they describe."""
