"""I11: nothing leaves the machine. Every connection and name look-up of a process that asks is recorded by Python itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.doubles.household import Household, ollama_server

_WATCH = """
import json, sys
seen = []
def hook(event, arguments):
    if event == "socket.connect":
        seen.append(repr(arguments[1]))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        seen.append(f"{event} {arguments[0]}")
sys.addaudithook(hook)
from a4ps.cli.main import run
for question in ("hello", "Tea or coffee at noon?", "What did I ask before?"):
    assert run(["ask", question, "--json"]) == 0
assert run(["doctor"]) in (0, 1)
print(json.dumps(sorted(set(seen))))
"""


def test_a_process_that_asks_speaks_to_its_engine_and_nobody_else(tmp_path: Path) -> None:
    person = Household(
        tmp_path, {"LANGSMITH_TRACING": "true", "LANGCHAIN_TRACING_V2": "true", "LANGSMITH_API_KEY": "x"}
    )
    with ollama_server() as url:
        port = url.rsplit(":", 1)[1]
        person.environ["OLLAMA_HOST"] = url
        done = subprocess.run([sys.executable, "-c", _WATCH], env=person.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen  # the watch works
    assert {
        entry for entry in seen if f"('127.0.0.1', {port})" not in entry and entry.split()[-1] != "127.0.0.1"
    } == set()
