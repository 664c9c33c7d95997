"""The stream consumers: worker (images) and dispatcher (completion events)."""
