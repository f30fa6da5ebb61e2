"""What may be named as a model's source, and what is made of it."""

from __future__ import annotations

import pytest

from a4ps.errors import UsageError
from a4ps.inference.model_source import check_address, parse_source

HEX = "ab" * 32
HUB = "https://hub.invalid"


def test_a_hub_id_becomes_the_hubs_address() -> None:
    source = parse_source("hf:Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf", HUB)
    assert source.url == f"{HUB}/Qwen/Qwen3-4B-GGUF/resolve/main/Qwen3-4B-Q4_K_M.gguf"
    assert (source.file_name, source.sha256) == ("Qwen3-4B-Q4_K_M.gguf", "")
    assert parse_source("hf:a/b/sub/c.gguf", hub="https://mirror.invalid/").url.startswith(
        "https://mirror.invalid/a/b/"
    )


def test_an_address_is_kept_and_its_last_part_is_the_file() -> None:
    source = parse_source(f" https://x.invalid/models/My%20Model.gguf?download=1#sha256={HEX.upper()} ", HUB)
    assert source.url == source.name == "https://x.invalid/models/My%20Model.gguf?download=1"
    assert (source.file_name, source.sha256) == ("My_Model.gguf", HEX)
    assert not source.is_local


@pytest.mark.parametrize(
    "text",
    [
        "",
        "qwen3.5:4b",
        "hf:a/b",
        "hf:a/b/c.bin",
        "hf:a/../c.gguf",
        "hf:a/b/../../c.gguf",
        "hf:a/b/c?.gguf",
        "http://x.invalid/a.gguf",
        "ftp://x.invalid/a.gguf",
        "file:///a.gguf",
        "https://user:secret@x.invalid/a.gguf",
        "https:///a.gguf",
        "https://x.invalid:port/a.gguf",
        "https://x.invalid/a.bin",
        "https://x.invalid/.gguf",
        "https://x.invalid/-a.gguf",
        "https://x.invalid/..%2Fa%00.gguf",
        f"https://x.invalid/{'a' * 300}.gguf",
        "https://x.invalid/a.gguf#sha256=1234",
        "https://x.invalid/a.gguf#md5=1234",
    ],
)
def test_anything_else_is_refused_with_how_to_name_one(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text, HUB)
    assert "hf:OWNER/REPO/FILE.gguf" in caught.value.next_step


def test_a_name_cannot_leave_the_folder() -> None:
    assert parse_source("https://x.invalid/..%2F..%2Fa.gguf", HUB).file_name == "a.gguf"


def test_without_tls_only_this_machine_is_asked_and_only_by_its_own_wish() -> None:
    check_address("http://127.0.0.1:8000/a.gguf", local=True)
    for url, local in (
        ("http://127.0.0.1/a", False),
        ("http://x.invalid/a", True),
        ("http://localhost.x.invalid/", True),
    ):
        with pytest.raises(UsageError):
            check_address(url, local=local)
