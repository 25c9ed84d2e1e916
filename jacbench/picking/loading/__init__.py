"""What a user hands over: the function, its point, its library, and how code spells them."""
