"""The one lock, and what it guards."""
