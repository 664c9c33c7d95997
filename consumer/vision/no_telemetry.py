"""The only door to packages that talk to their makers: they are told to stay offline before that.

Read in ultralytics 8.4: at import it resolves two public host names to learn whether it is online,
writes ``settings.json`` into the home of the user, and with ``sync`` on (its default) its trainer
and predictor post usage events; missing packages are installed with pip while it runs.
Only ``ultralytics.nn.tasks`` is imported here, so the module that posts events is never loaded.

Seen in OpenVINO 2026.4 and NNCF 3.4: importing, converting and calibrating each look up Google
Analytics and post events to it, and a client's id is left in the home of the user. Both do it by
way of one package that they can do without.
"""

import os
import sys
import tempfile
import threading
from typing import Any

_lock = threading.Lock()
_config_folder: tempfile.TemporaryDirectory[str] | None = None


def import_tasks() -> Any:
    """Return the module ``ultralytics.nn.tasks``, imported without talking to anybody.

    Has no effect on what ultralytics has already done if something else imported it before.
    """
    with _lock:
        _silence()
        from ultralytics.nn import tasks
        from ultralytics.utils import SETTINGS

        if SETTINGS.get("sync"):
            SETTINGS.update({"sync": False})
        return tasks


def import_openvino() -> Any:
    """Return the module ``openvino``, which then reports its use to nobody.

    Has no effect on what was imported before. Raises ImportError: it is not installed.
    """
    with _lock:
        _silence_openvino()
        import openvino

        return openvino


def import_nncf() -> Any:
    """Return the module ``nncf``, as `import_openvino` does. Raises ImportError likewise."""
    with _lock:
        _silence_openvino()
        import nncf

        return nncf


def _silence_openvino() -> None:
    # Python's own way to say that there is no such module; both then take their stubs of it.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _silence() -> None:
    global _config_folder  # noqa: PLW0603 - the folder lives as long as the process
    os.environ["YOLO_OFFLINE"] = "1"
    os.environ["YOLO_AUTOINSTALL"] = "0"
    os.environ["YOLO_VERBOSE"] = "0"
    # Makes its own model builder resolve activations by name instead of with eval().
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "1"
    if "YOLO_CONFIG_DIR" not in os.environ:
        _config_folder = tempfile.TemporaryDirectory(prefix="plate-detect-")
        os.environ["YOLO_CONFIG_DIR"] = _config_folder.name
