"""Runs a script as the workers of one cluster, and those that fail again, as a job manager does.

    python run_workers.py SCRIPT FOLDER NUM_WORKERS [KILLED FILE]

KILLED is the worker that is killed once a file of the pattern FILE is in FOLDER. The workers are
forks of this process, whose TensorFlow has not started any thread yet: they need not import it.
"""

import contextlib
import json
import os
import pathlib
import runpy
import signal
import socket
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras_distill  # noqa: F401

MAX_RESTARTS = 10


def main(script, folder, num_workers, killed=None, file=None):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(num_workers)]
    cluster = {"worker": addresses}
    pids = {start(script, folder, cluster, index): index for index in range(num_workers)}
    num_restarts = 0
    while pids:
        if killed is not None and any(pathlib.Path(folder).glob(file)):
            os.kill(next(pid for pid, index in pids.items() if index == killed), signal.SIGKILL)
            killed = None
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            time.sleep(0.01)
            continue
        index = pids.pop(pid)
        if status != 0:
            print(f"Worker {index} ended with {os.waitstatus_to_exitcode(status)}.")
            num_restarts += 1
            if num_restarts > MAX_RESTARTS or file is None:
                sys.exit("Too many workers failed.")
            pids[start(script, folder, cluster, index)] = index


def start(script, folder, cluster, index):
    """Forks a worker; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    os.chdir(folder)
    log = os.open(f"worker_{index}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ["TF_CONFIG"] = json.dumps(
        {"cluster": cluster, "task": {"type": "worker", "index": index}}
    )
    runpy.run_path(script, run_name="__main__")
    sys.exit()


def free_ports(number):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    script, folder, num_workers, *fault = sys.argv[1:]
    main(script, folder, int(num_workers), *([int(fault[0]), fault[1]] if fault else []))
