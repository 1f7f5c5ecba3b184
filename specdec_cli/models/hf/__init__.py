"""Model folders as transformers has them: configuration, weights, tokenizer, chat template, each checked."""
