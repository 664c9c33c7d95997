"""The version of the program. Both pyproject.toml files read it here, for service and client."""

VERSION = "1.0.0"
