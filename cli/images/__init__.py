"""Commands that take image files: `cover` on this machine, `submit` to a service."""
