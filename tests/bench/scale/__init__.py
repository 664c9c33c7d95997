"""What the service costs as its workers multiply: `python -m tests.bench.scale`."""
