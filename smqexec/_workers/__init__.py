"""What runs tasks, and what threads do that wait."""
