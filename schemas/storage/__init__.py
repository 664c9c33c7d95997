"""Files of tasks: their keys, and the local folder or bucket that holds them."""
