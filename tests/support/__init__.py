"""Real things for tests: servers, processes, drawn images, webhook receivers."""
