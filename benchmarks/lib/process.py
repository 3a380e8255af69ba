"""What a process takes. Linux only."""

import os
from pathlib import Path


def resident(pid: int | str = "self") -> float:
    """Resident memory of a process, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
