"""What may be asked: a text that fits beside the deliberation. Pure."""

from __future__ import annotations

from a4ps.errors import SettingsError, UsageError
from a4ps.inference.tokens import estimate_tokens
from a4ps.settings import Settings
from a4ps.society.toolbox import TOOL_TOKENS

#: What a prompt holds besides the question and what the personas said, in tokens; tests hold every prompt to it.
PROMPT_TOKENS = 700


def question_room(num_ctx: int, reply_tokens: int) -> int:
    """Tokens left for a question beside the prompt, a tool's result, three contributions, and the reply to them.

    Raises `SettingsError` where that is next to nothing.
    """
    room = num_ctx - PROMPT_TOKENS - TOOL_TOKENS - 4 * reply_tokens
    if room < 64:
        raise SettingsError(
            f"num_ctx {num_ctx:,} leaves no room for a question beside contributions of {reply_tokens:,} tokens",
            next_step=f"a4ps config set num_ctx {PROMPT_TOKENS + TOOL_TOKENS + 4 * reply_tokens + 1024}",
        )
    return room


def checked_question(text: str, settings: Settings) -> str:
    """The question, trimmed. Raises `UsageError` if it is empty, no text, or would not fit the context."""
    question = text.strip()
    if not question:
        raise UsageError("there is no question", next_step='a4ps ask "What should I read first?"')
    if "\x00" in question or question.encode("utf-8", "replace").decode() != question:
        raise UsageError("the question is not text (NUL or undecodable bytes)", next_step="give the question as text")
    room = question_room(settings.num_ctx, settings.reply_tokens)
    # Counting tokens of a huge text is itself slow; no token is longer than the bytes it stands for.
    tokens = estimate_tokens(question) if len(question) <= 16 * room else len(question) // 4
    if tokens > room:
        raise UsageError(
            f"the question is about {tokens:,} tokens long; {room:,} fit beside the deliberation",
            next_step=f"ask about a shorter text, or raise num_ctx ({settings.num_ctx:,}): a4ps config set num_ctx N",
        )
    return question
