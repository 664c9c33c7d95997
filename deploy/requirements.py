#!/usr/bin/env python3
"""Prints the direct dependencies of an image: those of the CUDA target, with --cpu of the other.

The shipped models run on OpenVINO on a CPU. PyTorch and ultralytics, the extra `torch`, are for
CUDA, for checkpoints without an export, for training and export.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
print(*project["dependencies"], sep="\n")  # noqa: T201
if sys.argv[1:] != ["--cpu"]:
    print(*project["optional-dependencies"]["torch"], sep="\n")  # noqa: T201
