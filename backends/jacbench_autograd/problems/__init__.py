"""Problems as autograd's users write them, by family."""
