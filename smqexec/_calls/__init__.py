"""A call: gather the futures among its arguments, substitute their results, and call its function."""
