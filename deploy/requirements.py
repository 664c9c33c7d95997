#!/usr/bin/env python3
"""Prints the direct dependencies of the project; with --cpu only those of its image for the CPU.

The shipped models run on OpenVINO there. PyTorch and ultralytics are for CUDA, for checkpoints
without an export, for training and export.
"""

import sys
import tomllib
from pathlib import Path

NOT_ON_THE_CPU = ("torch==", "ultralytics-opencv-headless==")

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for pin in project["dependencies"]:
    if sys.argv[1:] != ["--cpu"] or not pin.startswith(NOT_ON_THE_CPU):
        print(pin)  # noqa: T201
