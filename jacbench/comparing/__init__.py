"""Two runs side by side: what became faster, slower, wrong."""
