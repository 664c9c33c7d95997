"""Run a command that cannot outlive the process that started it: `guard.py SIGNAL COMMAND…`.

Linux sends SIGNAL to the command when its parent dies, even by SIGKILL (prctl(2),
PR_SET_PDEATHSIG; the setting outlives exec). Elsewhere the command is run as it is. Only the
standard library, so that it may run under `python -S` and costs milliseconds.
"""

import ctypes
import os
import signal
import sys

PARENT = "PLATE_DETECT_GUARD_PID"
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Tie this process to its parent, then become the command."""
    death_signal = signal.Signals[arguments[0]]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal))
    # A parent that died before the call above sends nothing any more.
    if str(os.getppid()) != os.environ.get(PARENT):
        sys.exit("guard: the process that started this one is gone")
    # exec keeps the process id, so what the command starts through a guard finds its parent here.
    os.environ[PARENT] = str(os.getpid())
    os.execvp(arguments[1], arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
