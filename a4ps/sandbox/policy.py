"""What a sandbox may see and use, as values: an OCI spec for runsc, command lines for bubblewrap and Docker. Pure.

The root is empty folders, read-only. In it lie, read-only, one Python with its standard library, the system's shared
libraries and the guest program; /tmp is memory, and the only place to write to. There is no network, no capability, no
environment of ours, no path of the host.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from a4ps.sandbox.limits import GIB, MIB, Limits

#: Where the guest finds things. None of the host's own paths is shown.
GUEST_DIR = "/a4ps-guest"
PYTHON_DIR = "/python"
PACKAGES_DIR = f"{PYTHON_DIR}/packages"
NOBODY = 65534
ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/python/bin",
    "HOME": "/tmp",  # noqa: S108 - the sandbox's own
    "LC_ALL": "C.UTF-8",
    "LD_LIBRARY_PATH": "/python/lib",
    "OPENBLAS_NUM_THREADS": "1",  # numpy's; it takes address space for each
}
#: `-I -S`: neither the environment, the current folder nor site-packages decides what is imported.
COMMAND = (
    "/python/bin/python3",
    *("-I", "-S", "-B", "-X", "utf8", "-c"),
    f"import sys; sys.path.insert(0, {GUEST_DIR!r}); sys.path.append({PACKAGES_DIR!r}); "
    "from a4ps.sandbox import guest; guest.main()",
)
#: Ceilings that no call can be given more than; a call's own limits are set by the guest before the code runs.
OPEN_FILES_MAX = 1024
#: What gVisor's kernel needs for itself; a file or a descriptor costs it about 2 kB, however small.
KEEPER_BYTES = 256 * MIB
#: With a namespace of one's own, RLIMIT_NPROC counts anew (gVisor).
DENIED_CALLS = ("unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "ptrace", "bpf", "keyctl", "add_key")
#: gVisor, unlike Linux, lets process 1 be stopped from inside: it would watch no more, and never answer.
SIGNAL_CALLS = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of the host at a place in the sandbox; read-only."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What of the host a sandbox is made of: absolute paths.

    `links` are pairs of a name in the root and what it leads to.
    """

    root: str
    binds: tuple[Bind, ...]
    links: tuple[tuple[str, str], ...] = ()


def rlimits_of(limits: Limits) -> tuple[tuple[str, int], ...]:
    """What the guest sets for the code before it runs, by the names of `resource`."""
    return (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_CPU", limits.cpu_s),
        ("RLIMIT_FSIZE", limits.file_bytes),
        ("RLIMIT_NOFILE", limits.open_files),
        ("RLIMIT_NPROC", limits.processes + 2),  # and the supervisor, and the worker itself
        ("RLIMIT_AS", limits.memory_bytes),
    )


def memory_file_bytes(limits: Limits) -> int:
    """The ceiling of the file that is the sandbox's memory; gVisor grows it by whole GiB."""
    return max(1, -(-limits.total_memory_bytes // GIB)) * GIB


def keeper_bytes(limits: Limits) -> int:
    """The ceiling of what gVisor itself keeps about a sandbox's files, processes and memory, beside the memory file."""
    return KEEPER_BYTES + limits.total_memory_bytes // 8


def spec_of(limits: Limits, layout: Layout) -> dict[str, Any]:
    """The OCI runtime spec (config.json) of one sandbox."""
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/tmp",  # noqa: S108 - the sandbox's own
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "nodev", "noexec", "mode=1777", f"size={limits.tmp_bytes}"],
        },
    ]
    for bind in layout.binds:
        options = ["bind", "ro", "nosuid", "nodev"]
        mounts.append({"destination": bind.target, "type": "bind", "source": bind.source, "options": options})
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": NOBODY, "gid": NOBODY},
            "args": list(COMMAND),
            "env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
            "cwd": "/tmp",  # noqa: S108 - the sandbox's own
            "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "rlimits": [
                {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
                {"type": "RLIMIT_NOFILE", "hard": OPEN_FILES_MAX, "soft": OPEN_FILES_MAX},
            ],
            "noNewPrivileges": True,
        },
        "root": {"path": layout.root, "readonly": True},
        "hostname": "sandbox",
        "mounts": mounts,
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
                "syscalls": [
                    {"names": list(DENIED_CALLS), "action": "SCMP_ACT_ERRNO"},
                    {
                        "names": list(SIGNAL_CALLS),
                        "action": "SCMP_ACT_ERRNO",
                        "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}],
                    },
                ],
            },
        },
    }


def runsc_argv(runsc: str, platform: str, state: str, bundle: str, name: str, *, rootless: bool) -> list[str]:
    """runsc on a bundle. `platform` is "systrap" or "ptrace"; kvm hangs in virtual machines and is never chosen."""
    return [
        runsc,
        f"--root={state}",
        f"--platform={platform}",
        "--network=none",
        "--ignore-cgroups",
        "--oci-seccomp",
        "--file-access-mounts=exclusive",
        *(("--rootless",) if rootless else ()),
        "run",
        f"--bundle={bundle}",
        name,
    ]


def tethered(argv: list[str], limits: Limits, *, setpriv: str, prlimit: str) -> list[str]:
    """`argv` so that it dies with the thread that starts it, its memory bounded. Both programs are util-linux's."""
    file, own = memory_file_bytes(limits), keeper_bytes(limits)
    return [setpriv, "--pdeathsig=KILL", "--", prlimit, f"--fsize={file}:{file}", f"--data={own}:{own}", "--", *argv]


def bubblewrap_argv(bwrap: str, limits: Limits, layout: Layout, seccomp_fd: int) -> list[str]:
    """bubblewrap with the same view; the filter is read from `seccomp_fd`."""
    argv = [
        bwrap,
        *("--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"),
        *("--cap-drop", "ALL", "--hostname", "sandbox", "--uid", str(NOBODY), "--gid", str(NOBODY)),
        *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"),
        *("--size", str(limits.tmp_bytes), "--tmpfs", "/tmp"),  # noqa: S108 - the sandbox's own
    ]
    for bind in layout.binds:
        argv += ["--ro-bind", bind.source, bind.target]
    for name, leads_to in layout.links:
        argv += ["--symlink", leads_to, f"/{name}"]
    for name, value in ENVIRONMENT.items():
        argv += ["--setenv", name, value]
    argv += ["--chdir", "/tmp", "--remount-ro", "/dev", "--remount-ro", "/"]  # noqa: S108
    argv += ["--seccomp", str(seccomp_fd), "--", *COMMAND]
    return argv


def docker_argv(docker: str, image: str, name: str, limits: Limits, layout: Layout) -> list[str]:
    """Docker with the runtime runsc: where an administrator allows nothing else. `image` needs no more than a C library."""
    argv = [
        docker,
        *("run", "--rm", "--interactive", "--name", name, "--runtime=runsc", "--network=none", "--read-only"),
        *("--cap-drop=ALL", "--security-opt=no-new-privileges", f"--user={NOBODY}:{NOBODY}", "--ipc=none"),
        *("--hostname=sandbox", "--pull=never", "--log-driver=none", "--workdir=/tmp"),
        f"--memory={limits.total_memory_bytes}",
        f"--memory-swap={limits.total_memory_bytes}",
        f"--pids-limit={limits.processes + 2}",
        f"--ulimit=nofile={OPEN_FILES_MAX}:{OPEN_FILES_MAX}",
        f"--tmpfs=/tmp:rw,nosuid,nodev,noexec,size={limits.tmp_bytes},mode=1777",
    ]
    argv += [f"--mount=type=bind,source={bind.source},target={bind.target},readonly" for bind in layout.binds]
    argv += [f"--env={variable}={value}" for variable, value in ENVIRONMENT.items()]
    return [*argv, "--entrypoint=/python/bin/python3", image, *COMMAND[1:]]


def python_binds(
    executable: str, stdlib: str, shared_library: str, version: tuple[int, int] = sys.version_info[:2]
) -> tuple[Bind, ...]:
    """One Python at its place in the guest; `shared_library` is libpython's path, "" where it is linked in."""
    binds = [
        Bind(executable, f"{PYTHON_DIR}/bin/python3"),
        Bind(stdlib, f"{PYTHON_DIR}/lib/python{version[0]}.{version[1]}"),
    ]
    if shared_library:
        binds.append(Bind(shared_library, f"{PYTHON_DIR}/lib/{shared_library.rpartition('/')[2]}"))
    return tuple(binds)
