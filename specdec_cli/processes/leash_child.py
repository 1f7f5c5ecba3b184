"""The child that `leash.py` starts: runs a program, and ends its group of processes when its input ends."""

import os
import signal
import subprocess
import sys
import threading


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Run the program of the arguments; its exit code."""
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return program.wait()


if __name__ == "__main__":
    os._exit(main() & 0xFF)  # at once: the other thread would end the group, this process with it, later
