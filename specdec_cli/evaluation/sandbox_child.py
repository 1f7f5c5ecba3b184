"""What runs a program of a model's, in a process of its own: it limits itself, then lets it loose.

Started by `sandbox.py` as `python -I -S sandbox_child.py MEMORY SECONDS`, in an empty folder, with the
program and a password on standard input. It writes the password to standard output if the program ends well.
"""

import ctypes
import json
import os
import resource
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
DENIED = (
    "socket.", "ctypes.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system",
    "os.kill", "os.chdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.mkdir", "os.remove",
    "os.rename", "os.rmdir", "os.truncate", "os.putenv", "pty.", "shutil.", "signal.", "urllib.",
    "http.", "ftplib.", "smtplib.", "mmap.", "fcntl.", "gc.", "sys.settrace", "sys.setprofile", "resource.",
)  # fmt: skip


def main() -> None:
    """Read the program, give up what it must not have, run it, and say whether it came to its end."""
    memory, seconds = int(sys.argv[1]), int(sys.argv[2])
    given = json.load(sys.stdin)
    answer = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    leave_the_network()
    limit(memory, seconds)
    watch(os.getcwd())
    run(given["program"])
    os.write(answer, given["password"].encode())


def run(program: str) -> None:
    """Run the program as a main module that knows nothing of this one."""
    exec(compile(program, "<answer>", "exec"), {"__name__": "__main__"})


def leave_the_network() -> None:
    """Go where there is no network device, if the kernel lets an unprivileged process do so."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNET):
        library.unshare(CLONE_NEWUSER | CLONE_NEWNET)


def limit(memory: int, seconds: int) -> None:
    """Bound memory (bytes), processor time, the size of files, and new processes."""
    bounds = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 1 << 20,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, most in bounds.items():
        resource.setrlimit(kind, (most, most))


def watch(folder: str) -> None:
    """From now on refuse sockets, processes, foreign code, and writing outside the folder; for good."""
    inside = os.path.realpath(folder) + os.sep
    realpath, fspath = os.path.realpath, os.fspath

    def refuse(event: str, arguments: tuple) -> None:  # type: ignore[type-arg]
        if event.startswith(DENIED):
            raise PermissionError(f"{event} is refused")
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & WRITES) or any(letter in (mode or "") for letter in "wax+")
            if writes and (isinstance(path, int) or not realpath(fspath(path)).startswith(inside)):
                raise PermissionError("writing outside the folder is refused")

    sys.addaudithook(refuse)


if __name__ == "__main__":
    main()
