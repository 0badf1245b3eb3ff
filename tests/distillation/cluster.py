"""Workers of one cluster, in processes of their own."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys

RUN_WORKERS = pathlib.Path(__file__).with_name("run_workers.py")


def run_workers(script, folder, num_workers, *fault):
    """Returns what the job manager printed, when all workers have ended well."""
    command = [sys.executable, RUN_WORKERS, script, folder, str(num_workers), *map(str, fault)]
    manager = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        printed, _ = manager.communicate(timeout=240)
    finally:
        # The workers are of its group, which is gone if they have ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(manager.pid, signal.SIGKILL)
        manager.wait()
    logs = [f"{log.name}:\n{log.read_text()[-4000:]}" for log in folder.glob("worker_*.log")]
    assert manager.returncode == 0, "\n".join([printed, *logs])
    return printed
