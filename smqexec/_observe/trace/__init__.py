"""What happened, as a file: written, read, shown."""
