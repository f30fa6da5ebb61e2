"""Nothing of this machine can be seen or reached from a sandbox: files, environment, descriptors, networks, sockets."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.sandbox.attacks.arena import SECRET, Arena

TRIED = """
def tried(act):
    try:
        return repr(act())
    except OSError as error:
        return type(error).__name__
"""


def test_files_of_the_host_are_not_there(place: Arena) -> None:
    """Neither by their paths, nor by any process's root, folder, descriptors or map of files, nor through .. of a mount."""
    secret = str(place.folder / "secret")
    found = place.call(
        TRIED
        + """
import glob
def look(path):
    ways = [path, "/etc/passwd", "/etc/hostname", "/root", "/home", "/var/log", "/run", "/boot", "/proc/kcore"]
    for base in ("/proc/1/root", "/proc/self/root", "/proc/1/cwd/..", "/a4ps-guest/..", "/usr/lib/../..", "/tmp/.."):
        ways += [base + path, base + "/etc/passwd"]
    for pid in (1, "self"):
        ways += [f"/proc/{pid}/fd/{fd}/../{up}etc/passwd" for fd in range(12) for up in ("", "../", "../../")]
    read = [way for way in ways if tried(lambda: open(way, "rb").read(16)) .startswith("b'") ]
    listed = [way for way in ways if tried(lambda: os.listdir(way)).startswith("[")]
    roots = {entry for way in ("/proc/1/root", "/proc/self/root", "/") for entry in eval(tried(lambda: os.listdir(way))[:1] == "[" and tried(lambda: os.listdir(way)) or "[]")}
    return read, listed, sorted(roots)
""",
        secret,
    ).value
    read, listed, roots = found
    assert read == []
    assert listed == []
    assert set(roots) <= {"proc", "dev", "sys", "tmp", "usr", "lib", "lib64", "python", "a4ps-guest"}


def test_paths_of_the_host_are_not_told(place: Arena) -> None:
    """Mounts, command lines and maps name no folder of this machine. bubblewrap's do: what it mounts comes from somewhere."""
    if place.kind.tier == "bubblewrap":
        pytest.skip("the mounts of bubblewrap, the weaker one, tell where they come from")
    told = place.call(
        """
import glob
def look():
    told = ""
    for name in ("mountinfo", "mounts", "cmdline", "environ", "maps", "cgroup"):
        for pid in (1, "self"):
            try:
                told += open(f"/proc/{pid}/{name}", errors="replace").read()
            except OSError:
                pass
    return told
"""
    ).value
    assert place.folder.name not in told
    assert str(Path(__file__).resolve().parents[3]) not in told


def test_environment_and_descriptors_are_not_inherited(place: Arena) -> None:
    """No variable of the host's, no descriptor but the guest's own; none that is left leads to a file of the host."""
    found = place.call(
        """
def look():
    import stat
    kinds, contents, text = {}, [], b""
    for number in range(4096):
        try:
            mode = os.fstat(number).st_mode
        except OSError:
            continue
        kinds[number] = stat.S_ISFIFO(mode) or os.fstat(number).st_rdev == os.makedev(1, 3)
        try:
            contents.append(os.pread(number, 64, 0))
        except OSError:
            pass
    for name in ("environ", "cmdline", "auxv"):
        try:
            text += open(f"/proc/self/{name}", "rb").read()
        except OSError:
            pass
    return dict(os.environ), kinds, contents, text
"""
    ).value
    environment, kinds, contents, text = found
    assert set(environment) <= {"PATH", "HOME", "LC_ALL", "LD_LIBRARY_PATH", "OPENBLAS_NUM_THREADS", "PWD", "LC_CTYPE"}
    assert SECRET.encode() not in text
    assert set(contents) <= {b""}
    assert all(kinds.values()), kinds  # pipes of the guest's own, and /dev/null


def test_no_network_and_no_socket_of_the_host_can_be_reached(place: Arena) -> None:
    """Canaries listen on loopback, at a path and at an abstract name; the metadata address fails before anything is sent."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as path,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        path.bind(str(place.folder / "canary"))
        (place.folder / "canary").chmod(0o777)
        abstract.bind("\0" + place.folder.name)
        udp.bind(("127.0.0.1", 0))
        for canary in (path, abstract):
            canary.listen()
        outcome = place.call(
            """
import socket
def reach(port, udp, path, abstract):
    ways = [
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
        (socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80)),
        (socket.AF_INET, socket.SOCK_DGRAM, ("169.254.169.254", 53)),
        (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", udp)),
        (socket.AF_INET6, socket.SOCK_STREAM, ("::1", port)),
        (socket.AF_UNIX, socket.SOCK_STREAM, path),
        (socket.AF_UNIX, socket.SOCK_STREAM, "/proc/1/root" + path),
        (socket.AF_UNIX, socket.SOCK_STREAM, chr(0) + abstract),
        (socket.AF_INET, socket.SOCK_RAW, ("127.0.0.1", 0)),
    ]
    errors = []
    for family, kind, address in ways:
        try:
            with socket.socket(family, kind, 1 if kind == socket.SOCK_RAW else 0) as made:
                made.settimeout(2)
                made.connect(address)
                if kind != socket.SOCK_STREAM:
                    made.send(b"canary")
                errors.append("")
        except OSError as error:
            errors.append(type(error).__name__ + ": " + str(error))
    try:
        names = [name for _, name in socket.if_nameindex()]
    except OSError:
        names = []
    return errors, names
""",
            tcp.getsockname()[1],
            udp.getsockname()[1],
            str(place.folder / "canary"),
            place.folder.name,
        )
        errors, names = outcome.value
        for canary in (tcp, path, abstract, udp):
            canary.setblocking(False)
        for canary in (tcp, path, abstract):
            with pytest.raises(BlockingIOError):
                canary.accept()
        with pytest.raises(BlockingIOError):
            udp.recv(16)
    # gVisor has a loopback of its own, on which a datagram to nobody can be sent.
    own_loopback = {3} if place.kind.tier == "runsc" else set()
    assert [index for index, error in enumerate(errors) if not error and index not in own_loopback] == []
    assert set(names) <= {"lo"}
    assert not any("timed out" in error for error in errors[1:3])  # no route: it fails at once


def test_a_listener_inside_is_not_heard_outside(place: Arena) -> None:
    """What listens in a sandbox does so in a network of its own, if at all."""
    found = place.call(
        """
import socket
def listen():
    try:
        made = socket.create_server(("0.0.0.0", 0))
    except OSError:
        return "cannot"
    return knock(made.getsockname()[1])
""",
        services={"knock": "knock"},
    ).value
    assert found in ("cannot", "nobody there")


@pytest.mark.parametrize(
    "where", ["/", "/usr/lib", "/python/lib", "/a4ps-guest/a4ps/sandbox", "/dev", "/dev/shm", "/sys", "/proc"]
)
def test_nothing_but_tmp_can_be_written(place: Arena, where: str) -> None:
    """No file can be made, changed, linked, renamed, truncated or given other rights outside /tmp, devices included."""
    made = place.call(
        TRIED
        + """
import glob
def write(where):
    new = where.rstrip("/") + "/planted"
    open("/tmp/mine", "w").write("x")
    acts = {
        "create": lambda: open(new, "w"),
        "mkdir": lambda: os.mkdir(new),
        "symlink": lambda: os.symlink("/tmp/mine", new),
        "link": lambda: os.link("/tmp/mine", new),
        "rename": lambda: os.rename("/tmp/mine", new),
        "mknod": lambda: os.mknod(new, 0o020666, os.makedev(1, 1)),
        "fifo": lambda: os.mkfifo(new),
        "chmod": lambda: os.chmod(where, 0o777),
        "chown": lambda: os.chown(where, 0, 0),
    }
    done = [name for name, act in acts.items() if tried(act) == "None" or "TextIO" in tried(act)]
    for old in sorted(glob.glob(where.rstrip("/") + "/*"))[:200]:
        if os.path.isfile(old) and not os.path.islink(old):
            for name, act in (("write", lambda: os.open(old, os.O_WRONLY)), ("truncate", lambda: os.truncate(old, 0)), ("unlink", lambda: os.unlink(old)), ("chmod", lambda: os.chmod(old, 0o777))):
                if "Error" not in tried(act):
                    done.append(name + " " + old)
    return done
""",
        where,
    ).value
    assert made == []


def test_the_hosts_settings_cannot_be_written(place: Arena) -> None:
    """No file of /proc or /sys that changes the kernel, the own processes' aside, opens for writing."""
    opened = place.call(
        """
def look():
    opened = []
    for top in ("/proc/sys", "/proc/irq", "/proc/fs", "/proc/bus", "/sys"):
        for folder, _, names in os.walk(top):
            for name in names:
                try:
                    os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_NONBLOCK))
                    opened.append(os.path.join(folder, name))
                except OSError:
                    pass
    for name in ("sysrq-trigger", "kcore", "kmsg", "mtrr"):
        try:
            os.close(os.open("/proc/" + name, os.O_WRONLY | os.O_NONBLOCK))
            opened.append(name)
        except OSError:
            pass
    return opened
"""
    ).value
    assert opened == []


def test_devices_are_the_harmless_ones(place: Arena) -> None:
    """No disk, memory, kvm or input device opens."""
    opened = place.call(
        """
def look():
    opened = []
    for folder, _, names in os.walk("/dev"):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                try:
                    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))
                    opened.append(path)
                except OSError:
                    pass
    return opened
"""
    ).value
    harmless = "null zero full random urandom tty ptmx pts/ptmx"
    if place.kind.tier == "runsc":  # gVisor's own, of its own kernel, which need capabilities to be of any use
        harmless += " fuse net/tun"
    assert set(opened) <= {f"/dev/{name}" for name in harmless.split()}


def test_secrets_stay_while_many_threads_look(place: Arena) -> None:
    """Calls that run at once get a sandbox each: none finds what another one wrote."""
    outcomes = place.burst(
        """
import uuid
def f():
    found = os.listdir("/tmp")
    open("/tmp/" + uuid.uuid4().hex, "w").close()
    return found, [name for name in os.listdir("/proc") if name.isdigit()]
""",
        8,
    )
    assert threading.active_count() < 50
    assert [outcome.value[0] for outcome in outcomes] == [[]] * 8
    assert all(len(outcome.value[1]) == 2 for outcome in outcomes)
