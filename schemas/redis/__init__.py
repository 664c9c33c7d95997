"""Redis: keys, connections, and the atomic steps of tasks and deliveries."""
