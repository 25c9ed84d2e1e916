"""Where candidates are prepared and timed: this process, or a worker for each library."""
