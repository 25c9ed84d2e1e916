"""Commands of the command line with a file each; each imports what it needs when it runs."""
