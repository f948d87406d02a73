"""Run a command that must not outlive whoever started it: `tether.py COMMAND ...`.

Standard input is a pipe that the starter keeps open. When it closes, because the starter let go
or was killed, this process kills its whole process group: the command, and what that started.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the command; its exit code, or 128 + the signal that ended it."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def watch() -> None:
        sys.stdin.buffer.read()
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    # os._exit: the watcher holds the lock of standard input, which a normal exit would wait for
    os._exit(main())
