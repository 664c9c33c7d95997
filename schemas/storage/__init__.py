"""Files of tasks: where they lie, and the local folder or bucket that holds them."""
