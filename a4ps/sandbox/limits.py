"""What one sandboxed call may use: the one place with the defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one call. Raises ValueError for one that is not positive.

    cpu_s                processor time of each process, whole seconds
    wall_s               wall time; the `timeout` of a call wins where it is shorter
    memory_bytes         address space of each process
    total_memory_bytes   memory of all processes and of what lies in /tmp. gVisor's own ceiling lies at the next whole GiB
    processes            processes and threads in the sandbox, beside its own one
    open_files           descriptors of each process
    file_bytes           size of one file
    tmp_bytes            size of /tmp, all that can be written to
    output_bytes         kept of stdout, and of stderr; more is dropped, and far more ends the call
    services_calls       calls of host functions
    frame_bytes          one message: arguments, a value, a service's arguments or answer
    """

    cpu_s: int = 10
    wall_s: float = 600.0
    memory_bytes: int = 512 * MIB
    total_memory_bytes: int = GIB
    processes: int = 32
    open_files: int = 128
    file_bytes: int = 64 * MIB
    tmp_bytes: int = 64 * MIB
    output_bytes: int = MIB
    services_calls: int = 1_000
    frame_bytes: int = 8 * MIB

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0 and not (field.name == "services_calls" and value == 0):
                raise ValueError(f"{field.name} must be positive, not {value!r}")


DEFAULT = Limits()
