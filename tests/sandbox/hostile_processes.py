"""Attacks on processes. Each function is a program of its own; what it returns that is true, it claims to have done."""

SOURCE = """
def fork():
    if os.fork() == 0: os._exit(0)
    return True
def fork_by_libc():
    pid = libc.fork()
    if pid == 0: os._exit(0)
    return pid > 0
def fork_by_number():
    pid = libc.syscall(ctypes.c_long({"x86_64": 56, "aarch64": 220}[os.uname().machine]), 17, 0, 0, 0, 0)
    if pid == 0: os._exit(0)
    return pid > 0
def clone_by_number():
    arguments = (ctypes.c_uint64 * 11)(); arguments[4] = 17
    pid = libc.syscall(ctypes.c_long(435), arguments, ctypes.c_long(88))
    if pid == 0: os._exit(0)
    return pid > 0
def terminal_fork():
    import pty
    pid, fd = pty.fork()
    if pid == 0: os._exit(0)
    return True
def run_command():
    return subprocess.run(["/bin/true"]).returncode == 0
def run_shell():
    return os.system("echo here > " + FOLDER + "/written") == 0
def shell_by_libc():
    return libc.system(("echo here > " + FOLDER + "/written").encode()) == 0
def read_from_shell():
    return os.popen("echo here").read()
def spawn():
    return os.posix_spawn("/bin/true", ["true"], {}) > 0
def spawn_new_interpreter():
    return subprocess.check_output([sys.executable, "-c", "print(1)"])
def process_pool():
    import multiprocessing
    context = multiprocessing.get_context("fork"); child = context.Process(target=int); child.start(); return True
def start_thread():
    import threading
    threading.Thread(target=int).start(); return True
def start_bare_thread():
    import _thread
    _thread.start_new_thread(int, ()); return True
def thread_pool():
    from concurrent.futures import ThreadPoolExecutor
    return ThreadPoolExecutor(2).submit(lambda: 1).result() == 1
def become_another_program():
    os.execv("/bin/sh", ["sh", "-c", "echo here > " + FOLDER + "/written"])
def become_another_program_by_descriptor():
    os.execve(os.open("/bin/sh", os.O_PATH), ["sh", "-c", "echo here > " + FOLDER + "/written"], {})
def become_another_program_by_loader():
    loader = [p for p in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if os.path.exists(p)][0]
    os.execv(loader, [loader, "/bin/sh", "-c", "echo here > " + FOLDER + "/written"])
def become_memory_file():
    fd = os.memfd_create("x"); os.write(fd, b"#!/bin/sh\\necho here > " + FOLDER.encode() + b"/written\\n")
    os.execve(f"/proc/self/fd/{fd}", ["x"], {})
def preload():
    os.environ["LD_PRELOAD"] = CANARY
    return subprocess.run(["/bin/true"]).returncode == 0

def kill_victim():
    os.kill(VICTIM, signal.SIGUSR1); return True
def reach_parent():
    os.kill(os.getppid(), 0); return True
def reach_parent_group():
    os.killpg(os.getpgid(os.getppid()), 0); return True
def reach_everybody():
    os.kill(-1, 0); return True
def kill_by_handle():
    signal.pidfd_send_signal(os.pidfd_open(VICTIM), signal.SIGUSR1); return True
def kill_by_libc():
    return libc.kill(VICTIM, 10) == 0
def kill_thread():
    return libc.syscall(ctypes.c_long({"x86_64": 234, "aarch64": 131}[os.uname().machine]), VICTIM, VICTIM, 10) == 0
def kill_with_value():
    return libc.sigqueue(VICTIM, 10, None) == 0
def kill_by_descriptor_owner():
    import fcntl
    read, write = os.pipe()
    fcntl.fcntl(read, fcntl.F_SETOWN, VICTIM); fcntl.fcntl(read, 10, int(signal.SIGUSR1))
    fcntl.fcntl(read, fcntl.F_SETFL, fcntl.fcntl(read, fcntl.F_GETFL) | os.O_ASYNC)
    os.write(write, b"x"); return True
def renice_victim():
    os.setpriority(os.PRIO_PROCESS, VICTIM, 5); return True
def pin_victim():
    os.sched_setaffinity(VICTIM, os.sched_getaffinity(0)); return True
def limit_victim():
    import resource
    resource.prlimit(VICTIM, resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)); return True
def trace_victim():
    return libc.ptrace(0x4206, VICTIM, 0, 0) == 0
def read_victim():
    number = {"x86_64": 310, "aarch64": 270}[os.uname().machine]
    return libc.syscall(ctypes.c_long(number), VICTIM, None, 0, None, 0, ctypes.c_long(0)) == 0
def steal_victim_descriptor():
    return libc.syscall(ctypes.c_long(438), os.pidfd_open(VICTIM), 0, 0) >= 0
def enter_victim_namespace():
    return libc.setns(os.pidfd_open(VICTIM), 0) == 0 or os.open(f"/proc/{VICTIM}/ns/net", os.O_RDONLY) >= 0
def wait_for_anybody():
    return os.waitpid(-1, os.WNOHANG)
def raise_own_limits():
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000)); return True
def new_session():
    os.setpgid(0, 0); return True
"""

NOT_UNCONFINED = {
    "terminal_fork": "not every machine has terminals",
    "preload": "the loader only warns",
    "become_memory_file": "not every kernel runs them",
    "trace_victim": "not everybody may",
    "steal_victim_descriptor": "not everybody may",
    "wait_for_anybody": "it has no children",
    "raise_own_limits": "the hard limit holds for all but root",
    "new_session": "it leads its session, confined or not",
    "kill_with_value": "rests on the victim's own rights",
    "reach_everybody": "may wake what is not of this test",
    "enter_victim_namespace": "not everybody may",
    "become_another_program_by_descriptor": "a shell may refuse descriptors",
}
"""What is not run with the confinement off, and why."""
