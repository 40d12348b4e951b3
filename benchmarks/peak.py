"""The peak memory of a command, whatever started it.

Run: python3 -m uv run python benchmarks/peak.py COMMAND...

The last line of standard error is `peak N MB`; everything else, the exit code too, is the command's. What Linux says of
a process (`ru_maxrss`) starts at the size of the process that forked it, so that a command started by a test run of
4 GB seems to have used 4 GB. Here this script stands between the two: it imports nothing, so the command starts small.
"""

from __future__ import annotations

import resource
import subprocess
import sys

# kilobytes everywhere but on macOS, where it is bytes
UNIT = 1 if sys.platform == "darwin" else 1024


def main(command: list[str]) -> int:
    code = subprocess.run(command).returncode
    # the only child that this process ever waited for
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * UNIT
    print(f"peak {peak / 1e6:.0f} MB", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
