"""All roles run with the packages of the image for the CPU: without PyTorch and ultralytics."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.packages import installed_with, missing_modules, run_without

PROJECT = Path(__file__).resolve().parents[2]
HERE = {"plate-detect", "plate-detect-client", "coverage"}
"""Installed for the tests, and nothing to miss in the image: the project itself, its coverage."""

_WORKER = """
from pathlib import Path
from consumer.settings import WorkerSettings
from consumer.vision.finding import cover_plates
from consumer.vision.steps import run_steps
from consumer.worker.process import cover_options, networks_of, stub_of

settings = WorkerSettings()
networks = networks_of(settings)
options = cover_options(settings, stub_of(settings), corners=networks.corners is not None)
image = Path("static/example.jpg").read_bytes()
print(len(run_steps(cover_plates(image, options), networks.run).covers))
"""
_ROLES = """
import cli.main, cli.images.submitting, cli.runner, cli.settings_table
import consumer.__main__, consumer.dispatcher.process, consumer.worker.process
import producer.__main__, producer.app
"""
_OWN_CHECKPOINT = """
from pathlib import Path
from consumer.errors import ModelError
from consumer.vision.networks import load_networks

try:
    load_networks(Path("own.pt"), None, device="cpu", confidence=0.3, max_batch=1)
except ModelError as error:
    print(error)
"""
_DOCTOR = """
from cli.main import app

app(["doctor", "model", "--json"])
"""
_EXPORT = """
from cli.main import app

app(["export"])
"""


def requirements(*arguments: str) -> list[str]:
    return subprocess.run(
        [sys.executable, PROJECT / "deploy" / "requirements.py", *arguments],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip


@pytest.fixture(scope="module")
def missing() -> set[str]:
    """The installed modules that the image for the CPU does not have."""
    return missing_modules(installed_with(requirements("--cpu")) | HERE)


def test_the_image_for_the_cpu_lacks_what_only_pytorch_needs(missing: set[str]) -> None:
    assert {"torch", "torchvision", "ultralytics", "sympy", "polars"} <= missing
    left_out = set(requirements()) - set(requirements("--cpu"))
    assert {pin.partition("==")[0] for pin in left_out} == {"torch", "ultralytics-opencv-headless"}


def test_a_worker_on_the_cpu_covers_an_image(missing: set[str]) -> None:
    done = run_without(missing, _WORKER)
    assert not done.returncode, done.stderr
    assert int(done.stdout) >= 1


def test_every_role_can_be_imported(missing: set[str]) -> None:
    done = run_without(missing, _ROLES)
    assert not done.returncode, done.stderr


def test_a_missing_module_is_noticed(missing: set[str]) -> None:
    done = run_without(missing, "import torch")
    assert "No module named 'torch'" in done.stderr


def test_a_checkpoint_without_an_export_is_refused_in_one_line(missing: set[str]) -> None:
    done = run_without(missing, _OWN_CHECKPOINT)
    assert not done.returncode, done.stderr
    assert done.stdout.startswith("own.pt: a checkpoint needs PyTorch and ultralytics")
    assert done.stdout.count("\n") == 1


def test_export_says_what_is_missing(missing: set[str]) -> None:
    done = run_without(missing, _EXPORT)
    assert done.returncode
    assert "needs PyTorch and ultralytics" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_says_that_a_gpu_needs_pytorch(missing: set[str]) -> None:
    done = run_without(missing, _DOCTOR, {**os.environ, "PROCESSING_DEVICE": "cuda"})
    assert done.returncode == 1, done.stderr
    finding = json.loads(done.stdout)
    assert finding["level"] == "problem"
    assert finding["text"].startswith("PROCESSING_DEVICE=cuda: ")
    assert "needs PyTorch and ultralytics, which are not installed" in finding["text"]
    assert "PROCESSING_DEVICE=cpu" in finding["mend"]
