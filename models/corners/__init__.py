"""Training of the second stage: crops, network, training, calibration."""
