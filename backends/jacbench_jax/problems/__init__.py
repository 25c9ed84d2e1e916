"""Problems as JAX's users write them, by family."""
