"""Run a command that cannot outlive the process that started it: `guard.py PID COMMAND…`.

Linux kills the command when its parent dies, even by SIGKILL (prctl(2), PR_SET_PDEATHSIG; the
setting outlives exec). Elsewhere the command runs as it is. A module of its own, with the standard
library only, because it runs under `python -S` and must cost milliseconds.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: str, *command: str) -> None:
    """Tie this process to its parent, then become the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    # A parent that died before the call above sends nothing any more.
    if str(os.getppid()) != parent:
        sys.exit("guard: the process that started this one is gone")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
