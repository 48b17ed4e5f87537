"""Attacks on files. Each function is a program of its own; what it returns that is true, it claims to have done."""

SOURCE = """
def write_scratch():
    open(FOLDER + "/written", "w").write("here"); return True
def write_tmp():
    open("/tmp/" + TOKEN, "w").write("here"); return True
def write_shared_memory_folder():
    open("/dev/shm/" + TOKEN, "w").write("here"); return True
def write_var_tmp():
    open("/var/tmp/" + TOKEN, "w").write("here"); return True
def write_home():
    open(HOME + "/" + TOKEN, "w").write("here"); return True
def write_relative():
    os.chdir(FOLDER); open("written", "w").write("here"); return True
def create_by_libc():
    return libc.creat((FOLDER + "/written").encode(), 0o600) >= 0
def append():
    open(CANARY, "a").write("more"); return True
def overwrite_in_place():
    open(CANARY, "r+").write("X"); return True
def truncate():
    os.truncate(CANARY, 0); return True
def truncate_while_opening_to_read():
    os.close(os.open(CANARY, os.O_RDONLY | os.O_TRUNC)); return True
def truncate_by_libc():
    return libc.truncate(CANARY.encode(), ctypes.c_long(0)) == 0
def make_symlink():
    os.symlink("/etc/passwd", FOLDER + "/link"); return True
def make_hard_link():
    os.link(CANARY, FOLDER + "/link"); return True
def rename():
    os.rename(CANARY, FOLDER + "/renamed"); return True
def replace_with_nothing():
    os.unlink(CANARY); return True
def remove_folder():
    os.rmdir(FOLDER + "/empty"); return True
def make_folder():
    os.mkdir(FOLDER + "/made"); return True
def make_fifo():
    os.mkfifo(FOLDER + "/fifo"); return True
def make_device():
    os.mknod(FOLDER + "/node", 0o600 | stat.S_IFREG); return True
def change_mode():
    os.chmod(CANARY, 0o777); return True
def change_mode_by_descriptor():
    fd = os.open(FOLDER, os.O_PATH); os.chmod(f"/proc/self/fd/{fd}/secret", 0o777); return True
def change_owner():
    os.chown(CANARY, os.getuid(), os.getgid()); return True
def change_times():
    os.utime(CANARY, (1, 1)); return True
def set_attribute():
    os.setxattr(CANARY, "user.hostile", b"1"); return True
def make_database():
    import sqlite3
    base = sqlite3.connect(FOLDER + "/base.db"); base.execute("create table t (x)"); base.commit(); return True
def attach_database():
    import sqlite3
    base = sqlite3.connect(":memory:"); base.execute("attach ? as other", (FOLDER + "/base.db",))
    base.execute("create table other.t (x)"); base.commit(); return True
def map_file_shared():
    import mmap
    with open(CANARY, "r+b") as file:
        mmap.mmap(file.fileno(), 0)[:1] = b"X"
    return True
def map_read_only_file_shared():
    fd = os.open(CANARY, os.O_RDONLY)
    libc.mmap.restype = ctypes.c_void_p
    return libc.mmap(None, ctypes.c_size_t(4096), 3, 1, fd, ctypes.c_long(0)) not in (None, ctypes.c_void_p(-1).value) or fd >= 0
def temporary_file():
    import tempfile
    file = tempfile.NamedTemporaryFile(dir=FOLDER, delete=False); file.write(b"here"); file.close(); return True
def unnamed_file_then_link():
    fd = os.open(FOLDER, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.link(f"/proc/self/fd/{fd}", FOLDER + "/linked", follow_symlinks=True); return True
def log_to_file():
    import logging
    logging.basicConfig(filename=FOLDER + "/log"); logging.error("here"); return True
def fault_handler_to_file():
    import faulthandler
    faulthandler.enable(open(FOLDER + "/faults", "w")); return True
def warnings_to_file():
    import warnings
    warnings.showwarning = lambda *a, **k: open(FOLDER + "/warning", "w").write("here")
    warnings.warn("now"); return True
def audit_hook_to_file():
    sys.addaudithook(lambda *a: open(FOLDER + "/audit", "w").close() if a[0] == "hostile" else None)
    sys.audit("hostile"); return True
def shared_memory():
    from multiprocessing.shared_memory import SharedMemory
    SharedMemory(TOKEN, create=True, size=100); return True
def named_semaphore():
    import _multiprocessing
    return _multiprocessing.SemLock(0, 1, 1, "/" + TOKEN, False)
def write_bytecode():
    import py_compile
    return py_compile.compile(os.__file__, cfile=FOLDER + "/code.pyc")
def at_exit():
    import atexit
    atexit.register(lambda: open(FOLDER + "/exit", "w").close()); sys.exit(0)
def reopen_descriptor_for_writing():
    fd = os.open(CANARY, os.O_RDONLY); os.write(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY), b"X"); return True
def write_other_descriptors():
    found = [fd for fd in range(3, 100) if exists(fd) and stat.S_ISREG(os.fstat(fd).st_mode)]
    return found and os.write(found[0], b"X")

def read_canary():
    return open(CANARY).read()
def read_passwords():
    return "root:" in open("/etc/passwd").read()
def read_shadow():
    return open("/etc/shadow").read()
def read_host_name():
    return open("/etc/hostname").read()
def read_by_libc():
    libc.fopen.restype = ctypes.c_void_p
    return bool(libc.fopen(CANARY.encode(), b"r"))
def read_by_mapping():
    import mmap
    return mmap.mmap(os.open(CANARY, os.O_RDONLY), 0, prot=mmap.PROT_READ)[:]
def read_as_code():
    import io
    return io.open_code(CANARY).read()
def read_as_module():
    from importlib.machinery import SourceFileLoader
    return SourceFileLoader("secret", CANARY).get_data(CANARY)
def read_as_traceback():
    import linecache
    return linecache.getline(CANARY, 1)
def read_through_path_descriptor():
    fd = os.open(CANARY, os.O_PATH); return open(f"/proc/self/fd/{fd}").read()
def read_relative_to_descriptor():
    fd = os.open(os.path.dirname(CANARY), os.O_PATH); return os.read(os.open("secret", os.O_RDONLY, dir_fd=fd), 100)
def read_by_handle():
    buffer = (ctypes.c_uint * 40)(128); mount = ctypes.c_int()
    if libc.name_to_handle_at(-100, CANARY.encode(), buffer, ctypes.byref(mount), 0): return False
    return libc.open_by_handle_at(os.open(os.path.dirname(CANARY), os.O_RDONLY), buffer, 0) >= 0
def read_by_link():
    os.symlink(CANARY, FOLDER + "/link"); return open(FOLDER + "/link").read()
def import_from_folder():
    sys.path.insert(0, FOLDER); import planted; return planted.here
def import_package():
    sys.path.append(PACKAGES); import attrs; return attrs.__file__
def read_package():
    return open(PACKAGES + "/attrs/__init__.py").read()
def read_repository():
    return open(REPOSITORY + "/outside.py").read()
def list_root():
    return os.listdir("/")
def list_home():
    return list(os.scandir(HOME)) or True
def list_scratch():
    return os.listdir(FOLDER)
def read_own_environment():
    return open("/proc/self/environ", "rb").read() or True
def environment_has_secrets():
    return [name for name in os.environ if name not in ("LC_CTYPE", "PYTHONHASHSEED")]
def read_parent_environment():
    return SECRET.encode() in open(f"/proc/{VICTIM}/environ", "rb").read() or True
def read_parent_command_line():
    return open(f"/proc/{os.getppid()}/cmdline", "rb").read()
def read_victim_memory():
    return os.open(f"/proc/{VICTIM}/mem", os.O_RDONLY) >= 0
def read_victim_maps():
    return open(f"/proc/{VICTIM}/maps").read()
def read_all_command_lines():
    return [open(f"/proc/{name}/cmdline").read() for name in os.listdir("/proc") if name.isdigit()]
def follow_parent_descriptors():
    return [os.readlink(f"/proc/{VICTIM}/fd/{n}") for n in range(3)]
def enter_parent_root():
    return os.listdir(f"/proc/{VICTIM}/root")
def open_terminal():
    return os.open("/dev/tty", os.O_RDWR) or True
def open_memory_device():
    return os.open("/dev/mem", os.O_RDONLY) >= 0
def open_kernel_log():
    return os.open("/dev/kmsg", os.O_RDONLY) >= 0
def read_system_settings():
    return open("/proc/sys/kernel/hostname").read()
"""

NOT_UNCONFINED = {
    "at_exit": "its process is ended before exit handlers run, confined or not",
    "environment_has_secrets": "the environment is empty, confined or not",
    "write_other_descriptors": "no descriptor is passed on, confined or not",
    "open_terminal": "its session has no terminal, confined or not",
    "open_memory_device": "many machines have none",
    "open_kernel_log": "many machines have none",
    "read_shadow": "not everybody may",
    "read_by_handle": "not everybody may, nor on every file system",
    "set_attribute": "not on every file system",
    "unnamed_file_then_link": "not on every file system",
    "shared_memory": "the limit on file sizes holds too",
    "named_semaphore": "the limit on file sizes holds too",
    "reopen_descriptor_for_writing": "the limit on file sizes holds too",
    "change_mode_by_descriptor": "needs /proc",
    "read_package": "where packages are differs",
    "import_package": "where packages are differs",
    "read_host_name": "not every machine has the file",
}
"""What is not run with the confinement off, and why."""
