"""Attacks on the network. Each function is a program of its own; what it returns that is true, it claims to have done."""

SOURCE = """
def connect():
    socket.create_connection(("127.0.0.1", PORT), 1).close(); return True
def connect_ipv6():
    socket.create_connection(("::1", PORT), 1).close(); return True
def connect_by_name():
    socket.create_connection(("localhost", PORT), 1).close(); return True
def send_datagram():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"here", ("127.0.0.1", UDP)); return True
def connect_unix_socket():
    socket.socket(socket.AF_UNIX).connect(UNIX); return True
def connect_abstract_socket():
    socket.socket(socket.AF_UNIX).connect("\\0" + TOKEN); return True
def make_pair():
    return socket.socketpair()
def listen():
    return socket.create_server(("127.0.0.1", 0))
def netlink():
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
def raw_packets():
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
def kernel_crypto():
    return socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET, 0)
def virtual_machine_socket():
    return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
def look_up_name():
    return socket.getaddrinfo("localhost", 80)
def fetch():
    from urllib.request import urlopen
    return urlopen(f"http://127.0.0.1:{PORT}/", timeout=1).read() or True
def event_loop():
    import asyncio
    async def connect():
        await asyncio.open_connection("127.0.0.1", PORT); return True
    return asyncio.run(connect())
def by_libc():
    return libc.socket(2, 1, 0) >= 0
def by_number():
    return libc.syscall(ctypes.c_long({"x86_64": 41, "aarch64": 198}[os.uname().machine]), 2, 1, 0) >= 0
def by_number_of_the_other_interface():
    return libc.syscall(ctypes.c_long(41 | 0x40000000), 2, 1, 0) >= 0
def inherited_sockets():
    return [fd for fd in range(1000) if exists(fd) and stat.S_ISSOCK(os.fstat(fd).st_mode)]
def inherited_descriptors():
    return [fd for fd in range(3, 1000) if exists(fd) and not stat.S_ISFIFO(os.fstat(fd).st_mode)]
def through_bash():
    return subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{PORT}"]).returncode == 0
def interface_names():
    return socket.if_nameindex()
"""

NOT_UNCONFINED = {
    "connect_ipv6": "not every machine has it, and the listener does not",
    "raw_packets": "not everybody may",
    "kernel_crypto": "not every kernel has it",
    "virtual_machine_socket": "not every kernel has it",
    "by_number_of_the_other_interface": "few kernels have it",
    "inherited_sockets": "none is passed on, confined or not",
    "inherited_descriptors": "none is passed on, confined or not",
    "through_bash": "not every machine has it",
    "look_up_name": "not every machine has the name",
    "connect_by_name": "not every machine has the name",
    "fetch": "the listener does not answer",
}
"""What is not run with the confinement off, and why."""
