"""What runs a program of a model's, in a process of its own: it limits itself, then lets it loose.

Started by `sandbox.py` as `python -I -S sandbox_child.py MEMORY SECONDS FENCE`, in an empty folder, with the
program as JSON on standard input. It says "ready" on standard output and closes that before the program
begins; the verdict is its exit status, 0 if the program came to its end.
"""

import ctypes
import errno
import json
import os
import platform
import resource
import struct
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER_MODE = 38, 22, 2
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FILE_BYTES = 1 << 20
OPEN_FILES = 64
DENIED = (
    "socket.", "ctypes.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system",
    "os.kill", "os.chdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.mkdir", "os.remove",
    "os.rename", "os.rmdir", "os.truncate", "os.putenv", "os.utime", "os.setxattr", "os.removexattr",
    "os.lockf", "os.chflags", "pty.", "shutil.", "signal.", "urllib.", "http.", "ftplib.", "smtplib.",
    "mmap.", "fcntl.", "gc.", "sqlite3.", "sys._current", "sys.settrace", "sys.setprofile", "resource.",
    "syslog.",
)  # fmt: skip
# Modules that open files without a word to Python.
NATIVE = {"readline", "_sqlite3", "_dbm", "_gdbm", "_tkinter", "_curses", "_posixshmem", "_ctypes"}

# Numbers of system calls by what `platform.machine` says: those that make processes, connections or memory
# which outlives the process, or reach into others (signals, priorities, processors, limits, memory); those
# that change files; those that open files, with the index of the argument that holds the flags.
ANYWHERE = (424, 425, 428, 429, 430, 434, 435, 438, 442)  # pidfds, io_uring, mounts, clone3: alike everywhere
CALLS = {
    "x86_64": (
        0xC000003E,
        (29, 41, 42, 49, 53, 56, 57, 58, 59, 62, 64, 68, 101, 129, 141, 142, 144, 155, 161, 165, 166, 200,
         203, 234, 240, 248, 249, 250, 251, 256, 272, 279, 297, 298, 302, 308, 310, 311, 312, 314, 319, 321,
         322, 323),
        (76, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 93, 94, 132, 133, 188, 189, 190, 197, 198, 199, 235,
         258, 259, 260, 261, 263, 264, 265, 266, 268, 280, 304, 316, 437, 452),
        ((2, 1), (257, 2)),
    ),
    "aarch64": (
        0xC00000B7,
        (30, 39, 40, 41, 51, 97, 117, 118, 119, 122, 129, 130, 131, 138, 140, 180, 186, 190, 194, 198, 199,
         200, 203, 217, 218, 219, 220, 221, 238, 239, 240, 241, 261, 268, 270, 271, 272, 274, 279, 280, 281,
         282),
        (5, 6, 7, 14, 15, 16, 33, 34, 35, 36, 37, 38, 45, 52, 53, 54, 55, 88, 265, 276, 437, 452),
        ((56, 2),),
    ),
}  # fmt: skip


def main() -> int:
    """Read the program, give up what it must not have, run it; 0 if it came to its end."""
    memory, seconds, fence = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    program = json.load(sys.stdin)
    nothing = os.open(os.devnull, os.O_RDWR)
    library = ctypes.CDLL(None, use_errno=True)
    leave_the_network(library)
    limit(memory, seconds)
    refuse_calls(library, writes_too=fence != "bubblewrap")
    os.write(1, b"ready\n")
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.closerange(3, OPEN_FILES)
    forget()
    watch(os.getcwd())
    return run(program)


def run(program: str) -> int:
    """Run the program as a main module that knows nothing of this one; 0 if it comes to its end."""
    try:
        exec(compile(program, "<answer>", "exec", dont_inherit=True), {"__name__": "__main__"})
    except BaseException:  # also of `exit`: tests that did not come to their end did not pass
        return 1
    return 0


def leave_the_network(library: ctypes.CDLL) -> None:
    """Go where there is no network device, if the kernel lets an unprivileged process do so."""
    if library.unshare(CLONE_NEWNET):
        library.unshare(CLONE_NEWUSER | CLONE_NEWNET)


def limit(memory: int, seconds: int) -> None:
    """Bound memory (bytes), processor time, the size and number of files, and new processes."""
    bounds = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_AS: memory,
    }
    for kind, most in bounds.items():
        resource.setrlimit(kind, (most, most))


def refuse_calls(library: ctypes.CDLL, writes_too: bool) -> None:
    """Have the kernel refuse system calls from now on (seccomp), for good.

    Args:
        library: the C library.
        writes_too: also those that change files, or open them for that.

    Raises:
        OSError: the kernel cannot, or does not know this processor; behind another fence that is no harm.
    """
    machine = CALLS.get(platform.machine())
    if machine is None or sys.maxsize < 1 << 32:
        if writes_too:
            raise OSError(errno.ENOSYS, f"no list of system calls for {platform.machine()}")
        return
    code = b"".join(struct.pack("=HBBI", *each) for each in instructions(*machine, writes_too))
    buffer = ctypes.create_string_buffer(code)
    filtering = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    refused = library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    refused = refused or library.prctl(PR_SET_SECCOMP, FILTER_MODE, ctypes.c_char_p(filtering), 0, 0)
    if refused and writes_too:
        raise OSError(ctypes.get_errno(), "the kernel has no seccomp filters")


def instructions(
    audited: int,
    denied: tuple[int, ...],
    changing: tuple[int, ...],
    opening: tuple[tuple[int, int], ...],
    all_: bool,
) -> list[tuple[int, int, int, int]]:
    """A filter in the kernel's language: code, jump if true, jump if false, value."""
    load, equal, above, bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse = (give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x00050000 | errno.EPERM)
    # Another kind of call than this processor's own (32 bits, x32) would have other numbers.
    found = [
        (load, 0, 0, 4),
        (equal, 1, 0, audited),
        refuse,
        (load, 0, 0, 0),
        (above, 0, 1, 0x40000000),
        refuse,
    ]
    for number in (*denied, *ANYWHERE, *(changing if all_ else ())):
        found += [(equal, 0, 1, number), refuse]
    for number, argument in opening if all_ else ():
        flags = 16 + 8 * argument  # the low half of an argument
        found += [(equal, 0, 4, number), (load, 0, 0, flags), (bits, 0, 1, WRITES), refuse, allow]
    return [*found, allow]


def forget() -> None:
    """Take away what would end the process with any status, and what was needed only until here."""
    import posix

    del os._exit, posix._exit
    for name in ("ctypes", "_ctypes", "ctypes._endian"):
        sys.modules.pop(name, None)


def watch(folder: str) -> None:
    """From now on refuse sockets, processes, foreign code, and writing outside the folder; for good."""
    inside = os.path.realpath(folder) + os.sep
    realpath, fspath, isdir = os.path.realpath, os.fspath, os.path.isdir

    def refuse(event: str, arguments: tuple) -> None:  # type: ignore[type-arg]
        if event.startswith(DENIED) or (event == "import" and arguments[0] in NATIVE):
            raise PermissionError(f"{event} is refused")
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & WRITES) or any(letter in (mode or "") for letter in "wax+")
            target = "" if isinstance(path, int) else realpath(fspath(path))
            if writes and not os.fsdecode(target).startswith(inside):
                raise PermissionError("writing outside the folder is refused")
            if mode is None and (isdir(target) or os.fsdecode(target).startswith("/proc")):
                raise PermissionError("descriptors of folders and processes are refused")
            if os.fsdecode(target).startswith("/proc/"):
                raise PermissionError("reading of processes is refused")

    sys.addaudithook(refuse)


if __name__ == "__main__":
    sys.exit(main())
