"""What is seen of a scheduler: events, why, graph, progress, trace."""
