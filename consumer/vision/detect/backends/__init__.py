"""What runs the network: PyTorch for checkpoints, OpenVINO or ONNX Runtime for exported files."""
