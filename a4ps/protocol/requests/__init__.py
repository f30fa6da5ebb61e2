"""Everything a client can ask for, one module for each noun. Importing this defines them all."""

from a4ps.protocol.requests import (
    approvals,
    console,
    figures,
    forgetting,
    image,
    memory,
    models,
    protos,
    system,
    tools,
    turns,
)
from a4ps.protocol.requests.base import Request, known_requests, request_of

__all__ = [
    "Request",
    "approvals",
    "console",
    "figures",
    "forgetting",
    "image",
    "known_requests",
    "memory",
    "models",
    "protos",
    "request_of",
    "system",
    "tools",
    "turns",
]
