"""Queues on any executor: processes, interpreters, a cluster; generator tasks there."""
