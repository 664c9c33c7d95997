"""Redis: keys, connections, and the atomic steps that change a task."""
