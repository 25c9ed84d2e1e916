"""What a function is like, and what is right for it where nobody has said so."""
