"""Attacks on the kernel's doors. Each function is a program of its own; what it returns that is true, it claims to have done."""

SOURCE = """
def memory_file():
    return os.memfd_create("x") >= 0
def secret_memory():
    return call(447, 447, 0) >= 0
def ring():
    return call(425, 425, 4, (ctypes.c_uint32 * 40)()) >= 0
def kernel_program():
    return call(321, 280, 5, (ctypes.c_uint32 * 40)(), ctypes.c_long(120)) >= 0
def performance_events():
    return call(298, 241, (ctypes.c_uint32 * 32)(1, 112), 0, -1, -1, ctypes.c_long(0)) >= 0
def page_faults():
    return call(323, 282, 1) >= 0
def add_key():
    return call(248, 217, b"user", b"hostile", b"x", ctypes.c_long(1), -2) >= 0
def key_ring():
    return call(250, 219, 0, -3, 0) >= 0
def mount():
    return libc.mount(b"none", FOLDER.encode(), b"tmpfs", 0, None) == 0
def new_mount_interface():
    return call(430, 430, b"tmpfs", 0) >= 0
def new_namespaces():
    return libc.unshare(0x10000000) == 0
def new_mount_namespace():
    return libc.unshare(0x00020000) == 0
def change_root():
    os.chroot(FOLDER); return True
def change_folder_of_root():
    return call(155, 41, FOLDER.encode(), FOLDER.encode()) == 0
def become_somebody():
    os.setuid(os.getuid()); return True
def become_root_group():
    os.setgroups([0]); return True
def change_real_ids():
    os.setresuid(-1, -1, -1); return True
def get_capabilities_back():
    header = (ctypes.c_uint32 * 2)(0x20080522, 0); sets = (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
    return call(126, 91, header, sets) == 0
def personality():
    return libc.personality(0x0040000) != -1
def name_itself():
    return libc.prctl(15, b"hostile", 0, 0, 0) == 0
def be_dumpable():
    return libc.prctl(4, 1, 0, 0, 0) == 0
def outlive_parent():
    return libc.prctl(1, 0, 0, 0, 0) == 0
def filter_more():
    return call(317, 277, 0, 0, None) == 0
def another_ruleset():
    return call(444, 444, (ctypes.c_uint64 * 1)(1), ctypes.c_long(8), 0) >= 0
def kernel_messages():
    return libc.klogctl(10, None, 0) >= 0
def kernel_module():
    return call(313, 273, -1, b"", 0) == 0
def host_name():
    return libc.sethostname(b"x", ctypes.c_long(-1)) == 0
def shared_memory_segment():
    return call(29, 194, 0, ctypes.c_long(4096), 0o1600) >= 0
def message_queue():
    return call(68, 186, 0, 0o1600) >= 0
def semaphores():
    return call(64, 190, 0, 1, 0o1600) >= 0
def named_message_queue():
    return call(240, 180, TOKEN.encode(), 0o102, 0o600, None) >= 0
def watch_files():
    return libc.inotify_init() >= 0
def watch_all_files():
    return libc.fanotify_init(0, 0) >= 0
def event_descriptor():
    return libc.eventfd(0, 0) >= 0
def poll_descriptor():
    import select
    return select.epoll()
def lock_memory():
    return libc.mlockall(1) == 0
def clock():
    import time
    time.clock_settime(time.CLOCK_REALTIME, -1.0); return True
def io_priority():
    return call(251, 30, 1, 0, 0x6000) == 0
def scheduler():
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)); return True
def quota():
    return call(179, 60, 0x80000100, None, 0, None) == 0
def swap():
    return libc.swapoff(b"/nowhere") == 0
def copy_between_descriptors():
    fd = os.open(os.__file__, os.O_RDONLY)
    return os.sendfile(1, fd, 0, 10)
def terminal_input():
    import fcntl
    return [fcntl.ioctl(fd, 0x5412, b"x") for fd in range(3)]
def lock_files():
    import fcntl
    fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX); return True
def executable_memory():
    return map_memory(7)
def executable_memory_later():
    where = map_memory(3)
    ctypes.memmove(where, b"\\xc3", 1)
    return libc.mprotect(ctypes.c_void_p(where), ctypes.c_size_t(4096), 5) == 0
def executable_memory_by_key():
    return libc.pkey_mprotect(ctypes.c_void_p(map_memory(3)), ctypes.c_size_t(4096), 5, -1) == 0
def machine_code():
    where = map_memory(7); ctypes.memmove(where, b"\\xb8\\x2a\\x00\\x00\\x00\\xc3", 6)  # mov eax, 42; ret
    return ctypes.CFUNCTYPE(ctypes.c_int)(where)() == 42
def calls_of_32_bit():
    where = map_memory(7)
    # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
    ctypes.memmove(where, b"\\x53\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\x5b\\xc3", 10)
    return ctypes.CFUNCTYPE(ctypes.c_int)(where)() > 0
def calls_of_the_other_interface():
    return libc.syscall(ctypes.c_long(39 | 0x40000000)) > 0
def overwrite_code():
    import mmap
    address = ctypes.cast(libc.getpid, ctypes.c_void_p).value & ~4095
    return libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(4096), 7) == 0
"""

_NAMES = """
    secret_memory ring kernel_program performance_events page_faults add_key key_ring mount
    new_mount_interface new_namespaces new_mount_namespace change_root change_folder_of_root
    become_root_group get_capabilities_back filter_more another_ruleset kernel_messages
    kernel_module host_name message_queue shared_memory_segment semaphores named_message_queue
    watch_all_files lock_memory clock io_priority quota swap terminal_input calls_of_32_bit
    calls_of_the_other_interface machine_code overwrite_code executable_memory_by_key
    copy_between_descriptors
"""
NOT_UNCONFINED = dict.fromkeys(
    _NAMES.split(), "not every kernel has it, not everybody may, or it changes more than this test"
)
"""What is not run with the confinement off, and why."""
