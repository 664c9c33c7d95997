"""Settings: what every process shares, and how settings are read."""
