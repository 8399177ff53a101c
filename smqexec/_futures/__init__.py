"""Tasks and items: the futures that a scheduler ends."""
