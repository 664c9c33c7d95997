#!/usr/bin/env python3
"""Prints the direct dependencies of the image for CUDA; with --cpu those of the image for the CPU.

Both contain the extra for traces, so that an operator only sets variables.

The shipped models run on OpenVINO there. PyTorch and ultralytics are for CUDA, for checkpoints
without an export, for training and export.
"""

import sys
import tomllib
from pathlib import Path

NOT_ON_THE_CPU = ("torch==", "ultralytics-opencv-headless==")

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for pin in [*project["dependencies"], *project["optional-dependencies"]["otel"]]:
    if sys.argv[1:] != ["--cpu"] or not pin.startswith(NOT_ON_THE_CPU):
        print(pin)  # noqa: T201
