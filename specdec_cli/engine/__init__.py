"""The decoding loop over three roles, and what is made of its steps: text, statistics, observations."""
