"""The settings that all processes share, and how settings are read."""
