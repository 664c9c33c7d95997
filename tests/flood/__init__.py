"""Memory of every role while far more arrives than can be done."""
