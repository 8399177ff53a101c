"""A recorded run: written to a trace file, read back, and shown as tables and as a page."""
