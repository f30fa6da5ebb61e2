"""A server of one file on this machine: honest by default, and for scripted requests as dishonest as told."""

from __future__ import annotations

import re
import socketserver
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asked:
    """A request as it came; names of headers in lower case."""

    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """A whole answer. `sent` bytes of the body are sent and the connection is closed; None sends all of it.

    `held` keeps the connection open and silent after that, until the server ends.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent: int | None = None
    held: bool = False


class FileServer:
    """`content` and its `etag` ("" for none) under every path.

    `script` holds the replies to the next requests; None, or nothing left, is the honest one.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.etag = '"one"'
        self.ranges = True
        self.script: deque[Reply | None] = deque()
        self.asked: list[Asked] = []
        self.url = ""
        self.ended = threading.Event()

    def whole(self, sent: int | None = None, *, held: bool = False, **headers: str) -> Reply:
        """The honest 200, of which only so many bytes arrive."""
        named = {"Content-Length": str(len(self.content)), **({"ETag": self.etag} if self.etag else {})}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(200, named, self.content, sent, held)

    def rest(self, start: int, **headers: str) -> Reply:
        """The honest 206 from `start` on; headers replace its own."""
        size = len(self.content)
        named = {"Content-Range": f"bytes {start}-{size - 1}/{size}", "ETag": self.etag}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(206, {"Content-Length": str(size - start), **named}, self.content[start:])

    def chunked(self, **headers: str) -> Reply:
        """The content without saying how long it is."""
        named = {"Transfer-Encoding": "chunked", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return Reply(200, named, b"%x\r\n%s\r\n0\r\n\r\n" % (len(self.content), self.content))

    def reply(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        scripted = self.script.popleft() if self.script else None
        if scripted is not None:
            return scripted
        match = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
        if not match or not self.ranges or asked.headers.get("if-range", self.etag) != self.etag:
            return self.whole()
        if int(match[1]) >= len(self.content):
            return Reply(416, {"Content-Range": f"bytes */{len(self.content)}", "Content-Length": "0"})
        return self.rest(int(match[1]))


@contextmanager
def file_server(content: bytes) -> Iterator[FileServer]:
    served = FileServer(content)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline().decode("latin-1").split(" ")[1]
            headers = {}
            while line := self.rfile.readline().decode("latin-1").strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            reply = served.reply(Asked(path, headers))
            named = {"Connection": "close", **reply.headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
            self.wfile.write(f"HTTP/1.1 {reply.status} Told\r\n{head}\r\n".encode("latin-1"))
            self.wfile.write(reply.body[: reply.sent])
            self.wfile.flush()
            if reply.held:
                served.ended.wait()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away in the middle is what many tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            served.ended.set()
            server.shutdown()
            thread.join()
