"""What is known of a Jacobian before it is computed: zeros, blocks, a narrow middle."""
