"""The handlers of all routes."""
