"""What training is made of: samples, batches, the network, its loss and optimiser."""
