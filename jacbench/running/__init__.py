"""Which cell is measured when, and by which process."""
