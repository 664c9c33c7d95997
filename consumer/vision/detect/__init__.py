"""The network: checkpoints, engines, and the boxes in its output."""
