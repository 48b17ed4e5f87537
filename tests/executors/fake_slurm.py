"""Stand-ins for Slurm's commands: jobs run as processes of this machine, and their states are files."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ.get("FAKE_SLURM", "/nonexistent"))
COMMANDS = ("sbatch", "srun", "sacct", "scancel", "scontrol")


def install(folder):
    """Put the commands into a folder, for PATH."""
    folder.mkdir(parents=True)
    for name in COMMANDS:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        path.chmod(0o755)


def sbatch(script):
    number = 100 + len(list(STATE.glob("*.script")))
    if (STATE / "refuses").exists() and number >= int((STATE / "refuses").read_text()):
        sys.exit("sbatch: error: invalid partition specified: nowhere")
    text = Path(script).read_text()
    (STATE / f"{number}.script").write_text(text)
    array = re.search(r"--array=0-(\d+)", text)
    tasks = [f"{number}_{i}" for i in range(int(array[1]) + 1)] if array else [str(number)]
    for task in tasks:
        write(task, "PENDING")
        command = [sys.executable, __file__, "runner", task]
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.Popen(command, start_new_session=True, **quiet)
    say(f"Submitted batch job {number}")


def runner(task):
    number, _, index = task.partition("_")
    names = {"SLURM_JOB_ID": number, "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0"}
    names |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    if index:
        names |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index}
    while True:
        job = subprocess.Popen(
            ["bash", STATE / f"{number}.script"], env=os.environ | names, start_new_session=True
        )
        (STATE / f"{task}.pid").write_text(str(job.pid))
        write(task, "RUNNING")
        code = job.wait()
        if not (requeued := STATE / f"{task}.requeue").exists():
            break
        requeued.unlink()
        write(task, "REQUEUED")
    cancelled = (STATE / f"{task}.cancelled").exists()
    write(task, "CANCELLED by 0" if cancelled else "FAILED" if code else "COMPLETED")


def srun(*arguments):
    task = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" in os.environ:
        task += "_" + os.environ["SLURM_ARRAY_TASK_ID"]
    rest, streams = list(arguments), {}
    while rest[0].startswith("--"):
        option = rest.pop(0)
        if option in {"--output", "--error"}:
            name = rest.pop(0).replace("%A_%a", task).replace("%j", task).replace("%t", "0")
            streams[option] = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(streams["--output"], 1)
    os.dup2(streams["--error"], 2)
    os.execvp(rest[0], rest)  # noqa: S606 - as srun does


def sacct(*arguments):
    wanted = [arguments[i + 1] for i, word in enumerate(arguments) if word == "-j"]
    say("JobID|State|NodeList")
    for path in sorted(STATE.glob("*.state")):
        if path.stem.partition("_")[0] in wanted:
            say(f"{path.stem}|{json.loads(path.read_text())}|node1")
            say(f"{path.stem}.batch|RUNNING|node1")


def scancel(*tasks):
    for task in tasks:
        (STATE / f"{task}.cancelled").touch()
        while not (pid := STATE / f"{task}.pid").exists() or not pid.read_text():
            time.sleep(0.02)  # these stand-ins start everything at once
        group = int(pid.read_text())
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(group, number)
            except ProcessLookupError:
                break
            time.sleep(0.2)


def scontrol(verb, task):
    assert verb == "requeue"
    (STATE / f"{task}.requeue").touch()


def write(task, state):
    temporary = STATE / f"{task}.{os.getpid()}"
    temporary.write_text(json.dumps(state))
    temporary.rename(STATE / f"{task}.state")


def say(line):
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    {f.__name__: f for f in (sbatch, runner, srun, sacct, scancel, scontrol)}[sys.argv[1]](*sys.argv[2:])
