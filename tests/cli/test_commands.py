"""The command line as a program: what it prints, on which stream, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from a4ps.protocol.objects import OBJECTS
from tests.doubles.household import Household, ollama_server, read_until

pytestmark = pytest.mark.slow

QUESTION = "I have two free weekends: should I learn Rust or Go to write a command-line tool?"


@pytest.fixture
def person(tmp_path: Path) -> Household:
    return Household(tmp_path)


def conforms(value: Any, name: str) -> None:
    """`value` is what docs/cli.md says the command prints, no key more or less."""
    TypeAdapter(OBJECTS[name]).validate_python(value, strict=True, extra="forbid")


def test_ask_prints_one_object_of_the_documented_shape(person: Household) -> None:
    value = person.json("ask", QUESTION)
    conforms(value, "ask")
    assert [said["role"] for said in value["contributions"]] == [
        "plan",
        "thesis",
        "antithesis",
        "findings",
        "synthesis",
    ]
    assert value["answer"] == value["contributions"][-1]["text"]
    assert value["engine"] == "rehearsal"


def test_ask_turn_prints_the_same_object_again(person: Household) -> None:
    first = person.json("ask", QUESTION)
    assert person.json("ask", "--turn", first["turn_id"]) == first


def test_ask_reads_standard_input(person: Household) -> None:
    value = person.json("ask", "-", stdin="Tea or coffee?\n")
    assert value["question"] == "Tea or coffee?"


def test_what_comes_through_a_pipe_is_untrusted_in_its_turn_and_whenever_it_is_asked_again(person: Household) -> None:
    """I13: it may be anybody's words; what is given as an argument is the Architect's."""
    assert person.json("ask", "-", stdin="Tea or coffee?\n")["taint"] == ["private", "untrusted"]
    assert person.json("ask", "--rerun", "1")["taint"] == ["private", "untrusted"]
    assert person.json("ask", "Which pump fits a rain barrel of 300 litres?")["taint"] == ["private"]
    person.run("chat", stdin="Which hat fits a walk?\n/quit\n")
    assert person.json("why", "4")["taint"] == ["private", "untrusted"]


def test_ask_streams_the_deliberation_and_the_figures(person: Household) -> None:
    done = person.run("ask", QUESTION)
    assert done.returncode == 0
    headings = ("ALFRED · plan", "BRICK · thesis", "ROBIN · antithesis", "BABS · findings", "ALFRED · answer")
    places = [done.stdout.index(heading) for heading in headings]
    assert places == sorted(places)
    assert "dissonance" in done.stdout
    assert "s in the model" in done.stdout
    assert "Rehearsal" in done.stdout
    assert "\x1b[" not in done.stdout  # no colours into a pipe


def test_quiet_prints_the_answer_alone(person: Household) -> None:
    done = person.run("ask", "-q", QUESTION)
    assert done.stdout.strip() == person.json("ask", "--turn", "1")["answer"]


def test_a_greeting_says_that_alfred_answered_alone(person: Household) -> None:
    assert "ALFRED answered alone" in person.run("ask", "hello").stdout
    assert len(person.json("ask", "hello", "--all")["contributions"]) == 5


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["ask"], 2, "usage_error"),
        (["ask", ""], 2, "usage_error"),
        (["ask", "one", "--turn", "1"], 2, "usage_error"),
        (["ask", "--all", "--resume"], 2, "usage_error"),
        (["ask", "--nonsense", "x"], 2, "usage_error"),
        (["aks", "x"], 2, "usage_error"),
        (["ask", "--turn", "7"], 1, "no_such_turn"),
        (["ask", "--resume"], 1, "no_such_turn"),
        (["config", "set", "num_ctx", "many"], 2, "settings_error"),
        (["config", "set", "numctx", "4096"], 2, "settings_error"),
        (["models", "pull"], 1, "download_failed"),
        (["chat"], 2, "usage_error"),
    ],
)
def test_each_bad_request_is_one_clear_message_and_the_right_code(
    person: Household, arguments: list[str], code: int, kind: str
) -> None:
    told = person.run(*arguments, "--json")
    assert told.returncode == code
    value = json.loads(told.stdout)
    conforms(value, "error")
    assert value["error"]["kind"] == kind
    assert value["error"]["message"]
    assert value["error"]["next"]
    assert "Traceback" not in told.stderr
    if arguments == ["chat"]:
        return  # it is --json that it refuses
    shown = person.run(*arguments)
    assert shown.returncode == code
    assert value["error"]["message"] in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_misspelt_command_is_met_with_the_likely_one(person: Household) -> None:
    assert "did you mean ask?" in person.run("aks", "x").stderr


def test_a_question_of_a_megabyte_is_refused(person: Household) -> None:
    done = person.run("ask", "-", stdin="why " * 262_144)
    assert done.returncode == 2
    assert "tokens long" in done.stderr
    assert len(done.stderr) < 500


def test_a_question_that_is_no_text_is_refused(person: Household) -> None:
    done = person.run("ask", "-", stdin=b"\xff\xfe\x00why")
    assert done.returncode == 2
    assert "not UTF-8" in done.stderr


def test_a_broken_settings_file_is_named_with_line_and_key(person: Household) -> None:
    person.home.mkdir(parents=True)
    (person.home / "a4ps.toml").write_text('profile = "fast"\nrounds_max = \n')
    done = person.run("ask", QUESTION)
    assert done.returncode == 2
    assert "a4ps.toml, line 2, key rounds_max" in done.stderr
    (person.home / "a4ps.toml").write_text('profile = "fast"\n\nrounds_max = "two"\n')
    done = person.run("ask", QUESTION)
    assert done.returncode == 2
    assert "line 3: rounds_max" in done.stderr


def test_config_shows_each_value_with_its_origin(person: Household) -> None:
    conforms(person.json("config", "set", "rounds_max", "3"), "config set")
    person.environ["A4PS_NUM_CTX"] = "4096"
    person.environ["A4PS_TYPO"] = "1"
    value = person.json("config", "show")
    conforms(value, "config show")
    assert value["settings"]["rounds_max"] == {"value": 3, "origin": "a4ps.toml:1"}
    assert value["settings"]["num_ctx"] == {"value": 4096, "origin": "A4PS_NUM_CTX"}
    assert value["settings"]["profile"]["origin"] == "default"
    assert value["ignored"] == ["A4PS_TYPO"]


def test_doctor_names_what_is_missing_and_what_mends_it(person: Household) -> None:
    value = person.json("doctor")
    conforms(value, "doctor")
    checks = {check["name"]: check for check in value["checks"]}
    assert set(checks) >= {"engine", "models", "card", "memory", "disk", "sandbox", "display", "image", "keys"}
    assert "models pull" in checks["engine"]["mend"]
    assert not person.home.exists()  # it looks, and makes nothing


def test_doctor_fails_for_an_image_that_is_none(person: Household) -> None:
    person.home.mkdir(parents=True)
    (person.home / "image.a4ps").write_bytes(os.urandom(8192))
    done = person.run("doctor")
    assert done.returncode == 1
    assert "✗ image" in done.stdout
    asked = person.run("ask", QUESTION)
    assert asked.returncode == 4
    assert "Traceback" not in asked.stderr


def test_two_commands_at_once_both_work(person: Household) -> None:
    person.run("ask", "hello")
    chat = subprocess.Popen(
        person.command(["chat"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=person.env
    )
    try:
        read_until(chat, "remembered")
        assert person.json("ask", "hello")["turn_id"] == "2"
        assert person.run("doctor").returncode == 0
    finally:
        chat.communicate(b"/quit\n", timeout=30)
    assert chat.returncode == 0


def test_an_image_held_by_another_program_is_said_to_be_and_by_whom(person: Household) -> None:
    person.run("ask", "hello")
    person.json("down")
    held = (
        "import a4ps, sys; manager = a4ps.ProtoManager(); print('held', flush=True); sys.stdin.read(); manager.close()"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=person.env
    )
    try:
        read_until(program, "held")
        error = person.json("ask", "hello", expect=1)["error"]
        assert error["kind"] == "image_held"
        assert str(program.pid) in error["message"]
        assert "Traceback" in Path(error["log"]).read_text()
        image = {check["name"]: check for check in person.json("doctor")["checks"]}["image"]
        assert (image["verdict"], str(program.pid) in image["detail"]) == ("note", True)
    finally:
        program.communicate(timeout=30)
    assert person.json("ask", "hello")["turn_id"] == "2"


def test_an_image_that_does_not_open_is_said_to_be_as_if_it_had_been_opened_here(person: Household) -> None:
    """The backend's failure is the command's own: its kind, its exit code, and a log that has the traceback once."""
    person.run("ask", "hello")
    person.json("down")
    log = person.folder / ".local" / "state" / "a4ps" / "a4ps.log"
    before = log.read_text().count('"traceback": ') if log.exists() else 0
    image = person.home / "image.a4ps"
    image.write_bytes(image.read_bytes()[:5000])
    error = person.json("ask", "hello", expect=4)["error"]
    assert (error["kind"], error["log"]) == ("integrity_error", str(log))
    assert "a4ps image restore" in error["next"]
    assert log.read_text().count('"traceback": ') == before + 1


def test_doctor_asks_the_backend_that_has_the_image(person: Household) -> None:
    person.run("ask", "hello")
    checks = {check["name"]: check for check in person.json("doctor")["checks"]}
    pid = person.json("status")["backend"]["pid"]
    assert f"process {pid}, which ends by itself" in checks["backend"]["detail"]
    assert "1 turn, " in checks["image"]["detail"]
    assert "open in the backend" in checks["image"]["detail"]
    person.json("down")
    checks = {check["name"]: check for check in person.json("doctor")["checks"]}
    assert "none runs" in checks["backend"]["detail"]
    assert "newest ones verified" in checks["image"]["detail"]
    assert person.run("status").returncode == 1  # and none was started for it


def test_doctor_finds_what_others_could_reach(person: Household) -> None:
    person.run("ask", "hello")
    token = person.folder / ".local" / "state" / "a4ps" / "keys" / "tokens" / "guest.token"
    token.chmod(0o644)
    person.run_base.chmod(0o755)
    checks = {check["name"]: check for check in person.json("doctor", expect=1)["checks"]}
    assert (checks["keys"]["verdict"], str(token) in checks["keys"]["detail"]) == ("bad", True)
    assert (checks["backend"]["verdict"], checks["backend"]["mend"]) == ("bad", f"chmod 700 {person.run_base}")


def test_doctor_finds_that_no_socket_has_room_there(person: Household) -> None:
    person.environ["XDG_RUNTIME_DIR"] = f"/tmp/{'x' * 100}"
    checks = {check["name"]: check for check in person.json("doctor", expect=1)["checks"]}
    assert "too long for the path of a socket" in checks["backend"]["detail"]
    assert "XDG_RUNTIME_DIR" in checks["backend"]["mend"]


def test_a_setting_says_when_the_backend_that_runs_uses_it(person: Household) -> None:
    assert "backend" not in person.run("config", "set", "rounds_max", "3").stdout
    up = person.start("up", "--headless")
    read_until(up, "A4PS is up")
    assert "after a4ps down and a4ps up" in person.run("config", "set", "rounds_max", "2").stdout
    assert "backend" not in person.run("config", "set", "rounds_max", "3").stdout  # which is what it runs with
    person.json("down")
    up.communicate(timeout=30)
    person.run("ask", "hello")
    assert "replaced by the next command" in person.run("config", "set", "rounds_max", "2").stdout
    assert person.json("ask", "hello")["turn_id"] == "2"


def test_chat_reads_lines_from_a_pipe(person: Household) -> None:
    done = person.run("chat", stdin=f"hello\n/help\n/nonsense\n/turn 1\n/last\n{QUESTION}\n/quit\n")
    assert done.returncode == 0
    assert "ALFRED answered alone" in done.stdout
    assert "there is no command /nonsense" in done.stderr
    assert "turn 2" in done.stdout


def test_ollama_that_should_be_there_but_is_not_is_an_error_and_not_a_rehearsal(person: Household) -> None:
    person.environ["OLLAMA_HOST"] = "127.0.0.1:9"
    done = person.run("ask", QUESTION)
    assert done.returncode == 1
    assert "no Ollama answers at http://127.0.0.1:9" in done.stderr
    assert "ollama serve" in done.stderr
    assert person.run("ask", "hello").returncode == 1
    person.environ["A4PS_ENGINE"] = "rehearsal"
    assert person.run("ask", "hello").returncode == 0


def test_a_missing_model_is_named_with_the_command_that_fetches_it(person: Household) -> None:
    with ollama_server("--missing-models") as url:
        person.environ["OLLAMA_HOST"] = url
        done = person.run("ask", QUESTION)
        assert done.returncode == 1
        assert "a4ps models pull qwen3.5:4b" in done.stderr
        pulled = person.json("models", "pull")
        conforms(pulled, "models pull")
        assert pulled["pulled"] == ["qwen3.5:4b"]
        conforms(person.json("models", "list"), "models list")
        value = person.json("ask", QUESTION)
    assert value["engine"] == "ollama"
    assert {said["model"] for said in value["contributions"]} == {"qwen3.5:4b"}
    assert value["model_ms"] > 0


def test_nothing_is_fetched_with_an_ollama_that_has_a_known_hole(person: Household) -> None:
    """Refused with what to do, and the doctor says so before anyone tries."""
    with ollama_server("--missing-models", "--version", "0.34.2") as url:
        person.environ["OLLAMA_HOST"] = url
        refused = person.json("models", "pull", expect=1)["error"]
        (engine,) = [one for one in person.json("doctor", expect=1)["checks"] if one["name"] == "engine"]
        assert person.json("models", "list")["installed"] == []
    assert refused["kind"] == "engine_refused"
    assert "CVE-2026-103663" in refused["message"]
    assert "upgrade Ollama" in refused["next"]
    assert (engine["verdict"], engine["mend"]) == ("note", "upgrade Ollama")


def test_a_log_keeps_the_traceback_that_the_user_is_spared(person: Household) -> None:
    person.environ["OLLAMA_HOST"] = "127.0.0.1:9"
    done = person.run("ask", "hello", "--json")
    log = Path(json.loads(done.stdout)["error"]["log"])
    assert "Traceback" in log.read_text()
    assert "Traceback" not in done.stderr
    assert log.is_relative_to(person.folder)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(person: Household, shell: str) -> None:
    done = person.run("completion", shell)
    assert done.returncode == 0
    assert "_A4PS_COMPLETE" in done.stdout


def test_completion_knows_commands_and_options(person: Household) -> None:
    person.environ |= {"_A4PS_COMPLETE": "bash_complete", "COMP_WORDS": "a4ps ask --re", "COMP_CWORD": "2"}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("a4ps"))], env=person.env, capture_output=True, text=True, check=False
    )
    assert "--resume" in done.stdout


def test_the_reader_of_the_output_may_leave(person: Household) -> None:
    """`a4ps ask ... | head -1` ends without a traceback."""
    asked = person.start("ask", QUESTION)
    assert asked.stdout is not None
    assert asked.stderr is not None
    asked.stdout.readline()
    asked.stdout.close()
    errors = asked.stderr.read()
    asked.stderr.close()
    asked.wait(30)
    assert b"Traceback" not in errors
