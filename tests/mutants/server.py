"""Runs pytest in processes forked from one that has imported what all tests need.

A job is a line of JSON on the standard input: ``arguments`` of pytest, ``environment`` to add,
``limit`` in seconds of the processor, ``patience`` in seconds on the clock, and the file ``said``
for what is printed. The answer is a line with ``code``, the exit status or the signal less than 0,
null where the patience ended; and ``spent``, seconds of the processor. Nothing of the product is
imported before the fork.
"""

import importlib
import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

MODULES = ("numpy", "torch", "torch.fx", "amaranth.sim", "amaranth.back.verilog", "serial")
POLL_S = 0.02


def run(job: dict[str, Any]) -> int:
    """Run pytest in this process, a forked one."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (job["limit"], job["limit"] + 5))
    said = os.open(job["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(descriptor, target)
    os.environ.update(job["environment"])
    import pytest

    return int(pytest.main(job["arguments"]))


def wait(process: int, patience: float) -> dict[str, Any]:
    """Return how a process ended, its code None where it was ended, and what it spent."""
    end = time.monotonic() + patience
    ended, status, usage = os.wait4(process, os.WNOHANG)
    while not ended and time.monotonic() < end:
        time.sleep(POLL_S)
        ended, status, usage = os.wait4(process, os.WNOHANG)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # what it started ends with it
    if not ended:
        _, _, usage = os.wait4(process, 0)
    code = os.waitstatus_to_exitcode(status) if ended else None
    return {"code": code, "spent": usage.ru_utime + usage.ru_stime}


def main() -> None:
    sys.path[0] = os.getcwd()  # as python -m pytest has it
    for name in MODULES if Path("tests/conftest.py").is_file() else ():
        with suppress(ImportError):
            importlib.import_module(name)
    importlib.import_module("pytest")
    for line in sys.stdin:
        job = json.loads(line)
        process = os.fork()
        if not process:
            code = 3
            try:
                code = run(job)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        print(json.dumps(wait(process, job["patience"])), flush=True)


if __name__ == "__main__":
    main()
