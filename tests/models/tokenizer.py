"""The tokenizer: byte-level BPE learnt from the corpus, with the marks of ChatML, and the template that sets them.

Any text can be encoded, since every byte is a token. Splits words as GPT-2 does (Radford et al. 2019), which llama.cpp
knows as `gpt-2`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.models.corpus import Chat

PAD, BEGIN, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
MARKS = (PAD, BEGIN, END)

#: Jinja, kept in the GGUF: what llama.cpp makes a prompt with. `render` does the same for training.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def learn(chats: Iterable[Chat], vocab_size: int) -> Tokenizer:
    """A tokenizer of exactly `vocab_size` tokens (bytes and marks among them), or fewer if the text has no more pairs."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(mark, special=True, normalized=False) for mark in MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [part for chat in chats for part in (chat.system, chat.user, chat.reply) if part]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def render(chat: Chat) -> str:
    """The prompt of `chat` as the template makes it, up to where the reply begins."""
    said = "".join(f"{BEGIN}{message['role']}\n{message['content']}{END}\n" for message in chat.messages)
    return f"{said}{BEGIN}assistant\n"


def encode(tokenizer: Tokenizer, chat: Chat) -> tuple[list[int], int]:
    """The token ids of prompt, reply and END, and how many of them are the prompt's."""
    prompt = tokenizer.encode(render(chat)).ids
    return [*prompt, *tokenizer.encode(chat.reply + END).ids], len(prompt)
