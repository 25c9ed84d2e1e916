"""What is worth trying for a user's own function, which way is best, and how sure that is."""
