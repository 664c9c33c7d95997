"""Import ultralytics, OpenVINO and NNCF with their telemetry disabled; only this module may.

ultralytics 8.4 resolves two public host names at import to check whether it is online, and writes
``settings.json`` into the user's home. With ``sync`` on (its default) its trainer and predictor
post usage events. It installs missing packages with pip while it runs. Only
``ultralytics.nn.tasks`` is imported here, so the module that posts events is never loaded.

OpenVINO 2026.4 and NNCF 3.4 post events to Google Analytics when they are imported, convert or
calibrate, and leave a client id in the user's home. Both do it through one optional package.
"""

import os
import sys
import tempfile
import threading
from typing import Any

_lock = threading.Lock()
_config_folder: tempfile.TemporaryDirectory[str] | None = None


def import_tasks() -> Any:
    """Return the module ``ultralytics.nn.tasks``, imported without network access.

    It has no effect on an earlier import of ultralytics.
    """
    with _lock:
        _disable_ultralytics_telemetry()
        from ultralytics.nn import tasks
        from ultralytics.utils import SETTINGS

        if SETTINGS.get("sync"):
            SETTINGS.update({"sync": False})
        return tasks


def import_openvino() -> Any:
    """Return the module ``openvino`` without its telemetry. Raises ImportError.

    It has no effect on an earlier import.
    """
    with _lock:
        _disable_openvino_telemetry()
        import openvino

        return openvino


def import_nncf() -> Any:
    """Return the module ``nncf`` without its telemetry. Raises ImportError."""
    with _lock:
        _disable_openvino_telemetry()
        import nncf

        return nncf


def _disable_openvino_telemetry() -> None:
    # None marks a module as missing; both packages then use empty replacements.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _disable_ultralytics_telemetry() -> None:
    global _config_folder  # noqa: PLW0603 - the folder lives as long as the process
    os.environ["YOLO_OFFLINE"] = "1"
    os.environ["YOLO_AUTOINSTALL"] = "0"
    os.environ["YOLO_VERBOSE"] = "0"
    # Makes ultralytics resolve activations by name instead of with eval().
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "1"
    if "YOLO_CONFIG_DIR" not in os.environ:
        _config_folder = tempfile.TemporaryDirectory(prefix="plate-detect-")
        os.environ["YOLO_CONFIG_DIR"] = _config_folder.name
