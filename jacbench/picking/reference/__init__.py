"""What the right Jacobian of the user's function is, and how well that is known."""
