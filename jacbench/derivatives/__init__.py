"""``jacobian``, ``prepare``, ``vjp`` and the rest, of a function of the caller's own."""
