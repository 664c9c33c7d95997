"""Memory of every role while more images arrive than can be processed."""
