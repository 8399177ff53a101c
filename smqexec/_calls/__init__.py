"""The call: futures among its arguments are found, and replaced by results; what is called."""
