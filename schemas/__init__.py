"""What all processes share: contract, Redis keys and scripts, storage, settings, logs."""
