"""How good an answer is: the libraries that the field quotes, and answers that are right or wrong."""
