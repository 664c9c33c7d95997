"""A whole service under load while processes are killed or stopped and connections are cut."""
