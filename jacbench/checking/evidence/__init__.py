"""What speaks for and against a Jacobian: differences of values, modes, and who is believed."""
