"""Checkpoints as files for ONNX Runtime and OpenVINO, in float32 or INT8."""
