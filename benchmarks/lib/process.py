"""What a process takes. Linux only."""

import os
import signal
from pathlib import Path


def resident(pid: int | str = "self") -> float:
    """Resident memory of a process, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def with_children(pid: int) -> list[int]:
    """A process and all that it has started, as long as they live."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended meanwhile
                continue
            parents.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def resident_of_all(pid: int) -> float:
    """Resident memory of a process and of all that it has started, MiB; what they share counts for each."""
    sizes = []
    for one in with_children(pid):
        try:
            sizes.append(resident(one))
        except OSError:
            continue
    return sum(sizes)


def kill(pid: int, *, children: bool = False) -> None:
    """kill -9 of a process, and of all that it has started."""
    for one in with_children(pid) if children else [pid]:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue
