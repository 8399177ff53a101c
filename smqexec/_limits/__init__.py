"""Conditions of a task's start besides its dependencies: options, pending limits, resources."""
