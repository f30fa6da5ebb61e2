"""Files that are handed in land where they should, whatever their names say; programs in them gain nothing."""

from __future__ import annotations

import pytest

from tests.sandbox.attacks.arena import Arena


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../planted",
        "a/../../planted",
        "",
        ".",
        "..",
        "a//b",
        "./a",
        "a/",
        "a\0b",
        "/tmp/a",
        "a/./b",
        "\ud800",
        "x" * 256,
    ],
)
def test_names_that_leave_their_folder_are_refused(place: Arena, name: str) -> None:
    """Before a sandbox is touched, and so is what no file can be called."""
    assert place.execute("pass", files={name: b"x"}).raised == "UsageError"


def test_a_file_and_a_folder_of_one_name_are_refused(place: Arena) -> None:
    """Before a sandbox is touched."""
    assert place.execute("pass", files={"a": b"x", "a/b": b"x"}).raised == "UsageError"


def test_a_file_cannot_be_in_the_way_of_stdin(place: Arena) -> None:
    """Whatever it is called: what is read from stdin was never a file that has a name."""
    outcome = place.execute(
        "import sys\nprint(sys.stdin.read(), sorted(os.listdir()))", stdin="given", files={".stdin": b"planted"}
    )
    assert outcome.stdout == "given ['.stdin']\n"


def test_a_module_planted_beside_the_program_is_not_imported(place: Arena) -> None:
    """Neither the guest nor the program takes json, struct or sitecustomize from the current folder."""
    names = ("json", "struct", "ast", "sitecustomize", "usercustomize", "traceback", "a4ps", "encodings", "os")
    outcome = place.execute(
        """
import ast, json, struct, sys, traceback, zipfile
print([name for name in sys.modules.values() if str(getattr(name, "__file__", "")).startswith(("/tmp", "."))])
print([entry for entry in sys.path if not entry.startswith(("/python/", "/a4ps-guest"))])
1 / 0
""",
        files={f"{name}.py": b"print('PLANTED')" for name in names} | {"lib/json/__init__.py": b"print('PLANTED')"},
    )
    assert outcome.stdout == "[]\n[]\n"
    assert "PLANTED" not in outcome.stderr
    assert "ZeroDivisionError" in outcome.stderr


def test_links_lead_nowhere(place: Arena) -> None:
    """Links made in /tmp to the host's files, or to the guest's, are followed inside the sandbox and write nothing there."""
    found = place.call(
        """
def f(secret):
    done = []
    for number, target in enumerate((secret, "/proc/1/root" + secret, "/proc/self/exe", "/a4ps-guest/a4ps/sandbox/guest.py", "../../../../.." + secret)):
        os.symlink(target, f"link{number}")
        for mode in ("r+b", "ab", "wb"):
            try:
                open(f"link{number}", mode).close()
                done.append((target, mode))
            except OSError:
                pass
        try:
            os.link(target, f"hard{number}")
            done.append((target, "link"))
        except OSError:
            pass
        try:
            os.link(f"/proc/self/fd/0", f"fd{number}", follow_symlinks=True)
            done.append((target, "fd link"))
        except OSError:
            pass
    return done
""",
        str(place.folder / "secret"),
        files={"a/b": b"1"},
    ).value
    assert found == []
    assert place.call("def f(): return os.listdir('/tmp')").value == []


def test_no_program_gains_rights(place: Arena) -> None:
    """No setuid, no other user, no capability, no tracing, no chroot, no mount, no new root of anything."""
    found = place.call(
        """
import ctypes, shutil
def f():
    libc = ctypes.CDLL(None, use_errno=True)
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
    own = ctypes.create_string_buffer(64)
    here = Vector(ctypes.addressof(own), 64)
    # Process 1 was forked from: most of its memory lies where ours does.
    there = Vector(id(os), 64)
    done = []
    acts = {
        "setuid": lambda: os.setuid(0),
        "setresuid": lambda: os.setresuid(0, 0, 0),
        "setgid": lambda: os.setgid(0),
        "setgroups": lambda: os.setgroups([0]),
        "chroot": lambda: os.chroot("/tmp"),
        "ptrace": lambda: libc.ptrace(16, 1, 0, 0) and 1 / 0,
        "mount": lambda: libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) and 1 / 0,
        "bind": lambda: libc.mount(b"/tmp", b"/dev", None, 4096, None) and 1 / 0,
        "remount": lambda: libc.mount(None, b"/", None, 32 | 4096, None) and 1 / 0,
        "umount": lambda: libc.umount2(b"/tmp", 2) and 1 / 0,
        "unshare": lambda: libc.unshare(0x10000000) and 1 / 0,
        "readv": lambda: libc.process_vm_readv(1, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) < 0 and 1 / 0,
        "keyctl": lambda: libc.syscall(250, 0, -3, 1) == -1 and 1 / 0,
        "bpf": lambda: libc.syscall(321, 0, 0, 0) == -1 and 1 / 0,
        "hostname": lambda: libc.sethostname(b"mine", 4) and 1 / 0,
        "mem": lambda: os.open("/proc/1/mem", os.O_RDWR),
    }
    for name, act in acts.items():
        try:
            act()
            done.append(name)
        except (OSError, ZeroDivisionError):
            pass
    shutil.copy("/python/bin/python3", "/tmp/mine")
    os.chmod("/tmp/mine", 0o6755)
    pid = os.fork()
    if pid == 0:
        try:
            os.execv("/tmp/mine", ["mine", "-c", "import os; os._exit(40 + (os.geteuid() == 0))"])
        finally:
            os._exit(50)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
    return done, ended, [int(status.get(name, "0"), 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")], os.getresuid()
"""
    ).value
    done, ended, capabilities, users = found
    assert done == []
    assert ended != 41
    assert capabilities == [0, 0, 0, 0]
    assert users == (65534, 65534, 65534)
