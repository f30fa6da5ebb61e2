"""A LoRA of a base for one persona (Hu et al. 2021, arXiv:2106.09685), trained by the same loop as the base."""

from __future__ import annotations

import copy

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import Qwen3ForCausalLM

from tests.models.network import settle

RANK = 4
ALPHA = 8.0
_MATRICES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def attach(base: Qwen3ForCausalLM, seed: int) -> PeftModel:
    """A copy of `base` with an untrained LoRA on it, which alone is trained. `base` stays as it is."""
    settle(seed)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=_MATRICES, lora_dropout=0.0, task_type="CAUSAL_LM")
    return get_peft_model(copy.deepcopy(base), config)


def factors(network: PeftModel) -> dict[str, tuple[Tensor, Tensor]]:
    """For each matrix with a LoRA, by the name of its module in the base: A (r, in) and B (out, r)."""
    found = {}
    for name, module in network.get_base_model().named_modules():
        if hasattr(module, "lora_A") and len(module.lora_A):
            found[name] = (module.lora_A["default"].weight.detach(), module.lora_B["default"].weight.detach())
    return found


def round_to_file(network: PeftModel) -> None:
    """Give the LoRA the f16 weights that its file keeps, in place."""
    with torch.no_grad():
        for a, b in factors(network).values():
            a.copy_(a.half().float())
            b.copy_(b.half().float())
