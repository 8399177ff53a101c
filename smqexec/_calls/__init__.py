"""The arguments of a call: gather futures, substitute results; and what a callable is."""
