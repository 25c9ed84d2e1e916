"""What every part speaks of: errors, trees, layouts, patterns, operators, cells."""
