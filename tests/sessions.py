"""What sessions are given to go on from, and the tokens that they give."""

PROMPT = [5, 9, 30, 7, 5, 9, 30]


def tokens(steps):
    return [token for step in steps for token in step.tokens]
