"""Who enters, who is dropped, and who wins."""
