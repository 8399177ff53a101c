"""Queues on other executors."""
