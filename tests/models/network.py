"""The network: a small Qwen3 and how it learns replies. One thread, one seed: the same machine makes the same weights.

Names in shapes: B chats in a batch, T tokens of the longest of them, V vocabulary, H hidden width.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from tests.models.corpus import Chat
from tests.models.recipe import Schedule, Size
from tests.models.tokenizer import END, PAD, encode, render

_PADDING, _PROMPT, _REPLY = range(3)

# Prompts quote what was said before, so learning them a little teaches to copy, which replies need.
_PROMPT_WEIGHT = 0.1

# What the file claims. Trained on up to 550 tokens; beyond, replies lose their sense before their form.
_CONTEXT = 8192


def settle(seed: int) -> None:
    """Make what follows repeatable in this process: one thread, fixed seed, no algorithm that depends on order."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def build(size: Size, tokenizer: Tokenizer, seed: int) -> Qwen3ForCausalLM:
    """An untrained network whose input and output embeddings are one tensor (V, H)."""
    settle(seed)
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        head_dim=size.head_width,
        intermediate_size=size.feed_forward,
        max_position_embeddings=_CONTEXT,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        initializer_range=0.04,
        pad_token_id=tokenizer.token_to_id(PAD),
        eos_token_id=tokenizer.token_to_id(END),
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config)


def train(network: nn.Module, tokenizer: Tokenizer, chats: Sequence[Chat], schedule: Schedule) -> float:
    """Learn the replies of `chats` in place; returns the mean loss, in nats a token, of the last tenth of the steps.

    Only parameters that ask for a gradient change, so the same loop trains a base and a LoRA.
    """
    settle(schedule.seed)
    optimizers = _optimizers(network, schedule)
    losses: list[float] = []
    network.train()
    for step, (ids, parts) in enumerate(_batches(tokenizer, chats, schedule)):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * _pace(step, schedule.steps)
        of_replies, of_prompts = _losses(network, ids, parts)
        loss = of_replies + _PROMPT_WEIGHT * of_prompts
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        losses.append(of_replies.item())
        if (step + 1) % 50 == 0:
            print(f"  step {step + 1}: {sum(losses[-50:]) / 50:.3f} nats a token", flush=True)
    network.eval()
    last = losses[-max(1, schedule.steps // 10) :]
    return sum(last) / len(last)


def perplexity(network: nn.Module, tokenizer: Tokenizer, chats: Sequence[Chat]) -> float:
    """exp of the mean loss over all reply tokens of `chats`: 1 is certainty, V is a guess."""
    nats = tokens = 0.0
    for chat in chats:
        ids, parts = _padded(tokenizer, [chat])
        count = int((parts == _REPLY).sum())
        with torch.no_grad():
            nats += _losses(network, ids, parts)[0].item() * count
        tokens += count
    return math.exp(nats / tokens)


def reply(network: PreTrainedModel, tokenizer: Tokenizer, chat: Chat, longest: int) -> str:
    """The greedy reply to the prompt of `chat`, at most `longest` tokens, as text."""
    ids = torch.tensor([tokenizer.encode(render(chat)).ids])  # (1, T)
    with torch.no_grad():
        said = network.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=longest, do_sample=False
        )
    text: str = tokenizer.decode(said[0, ids.shape[1] :].tolist(), skip_special_tokens=True)
    return text


def _optimizers(network: nn.Module, schedule: Schedule) -> list[torch.optim.Optimizer]:
    learnt = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    matrices = [p for name, p in learnt if schedule.matrix_rate and p.ndim == 2 and "embed" not in name]
    others = [p for _, p in learnt if all(p is not matrix for matrix in matrices)]
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=schedule.rate, betas=(0.9, 0.95), weight_decay=0.0)
    ]
    if matrices:
        found.append(torch.optim.Muon(matrices, lr=schedule.matrix_rate, momentum=0.95, weight_decay=0.01))
    for optimizer in found:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return found


def _losses(network: nn.Module, ids: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy, a scalar each, of the replies' and of the prompts' tokens; ids and parts are (B, T)."""
    logits = network(input_ids=ids).logits  # (B, T, V); padding is on the right, which a causal mask never looks at
    nats = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    kind = parts[:, 1:].flatten()  # (B · (T - 1),) like nats
    return nats[kind == _REPLY].mean(), nats[kind == _PROMPT].mean()


def _batches(tokenizer: Tokenizer, chats: Sequence[Chat], schedule: Schedule) -> Iterator[tuple[Tensor, Tensor]]:
    """`schedule.steps` batches. Chats of like length go together, so that little is spent on padding."""
    source = random.Random(schedule.seed)
    encoded = {chat: encode(tokenizer, chat) for chat in chats}
    by_length: list[list[Chat]] = []
    for _ in range(schedule.steps):
        if not by_length:
            shuffled = sorted(chats, key=lambda chat: (len(encoded[chat][0]) // 48, source.random()))
            by_length = [shuffled[start : start + schedule.batch] for start in range(0, len(shuffled), schedule.batch)]
            source.shuffle(by_length)
        yield _padded(tokenizer, by_length.pop())


def _padded(tokenizer: Tokenizer, chats: Sequence[Chat]) -> tuple[Tensor, Tensor]:
    """Token ids (B, T), padded on the right, and to what each belongs (B, T): _PROMPT, _REPLY or _PADDING."""
    rows = [encode(tokenizer, chat) for chat in chats]
    width = max(len(ids) for ids, _ in rows)
    pad = tokenizer.token_to_id(PAD)
    ids = [row + [pad] * (width - len(row)) for row, _ in rows]
    parts = [[_PROMPT] * start + [_REPLY] * (len(row) - start) + [_PADDING] * (width - len(row)) for row, start in rows]
    return torch.tensor(ids), torch.tensor(parts)


def _pace(step: int, steps: int) -> float:
    """The factor on the learning rate at `step`, in (0, 1]."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
