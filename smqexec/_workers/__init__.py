"""Workers run tasks; threads wait for futures, and run nested tasks meanwhile."""
