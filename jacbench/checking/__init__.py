"""What is the right Jacobian, and whether a method's answer is it."""
