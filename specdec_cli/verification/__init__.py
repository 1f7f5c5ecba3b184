"""Which guesses stand and which token follows them, so that the text keeps the target's distribution."""
