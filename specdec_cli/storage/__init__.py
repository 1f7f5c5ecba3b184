"""Files: what people give is read within limits; what runs write is theirs alone, and lost to no kill."""
