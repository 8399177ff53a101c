"""What a task may need besides its dependencies: options, limits, order, resources."""
