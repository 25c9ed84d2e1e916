"""Problems as PyTorch's users write them, by family."""
