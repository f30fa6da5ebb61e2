"""Weights as llama.cpp reads them: a base and its tokenizer, or a LoRA, written as GGUF.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Qwen3 needs no permutation of Q and K, as Llama does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Qwen3ForCausalLM

from tests.models.tokenizer import CHAT_TEMPLATE, END, MARKS, PAD

_Q8 = gguf.GGMLQuantizationType.Q8_0


def write_base(path: Path, name: str, network: Qwen3ForCausalLM, tokenizer: Tokenizer) -> None:
    """Write base and tokenizer to `path`: matrices as q8_0, norms as f32. The output embedding is the input's."""
    config = network.config
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_name(name)
    writer.add_license("MIT")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    _add_tokenizer(writer, tokenizer)
    for tensor_name, tensor in _named(network).items():
        if tensor.ndim == 2:
            writer.add_tensor(tensor_name, quantize(tensor.numpy(), _Q8), raw_dtype=_Q8)
        else:
            writer.add_tensor(tensor_name, tensor.numpy())
    _write(writer)


def write_lora(path: Path, name: str, factors: Mapping[str, tuple[Tensor, Tensor]], alpha: float) -> None:
    """Write a LoRA to `path` as f16: for each matrix of the base, by its name in transformers, A (r, in) and B (out, r).

    llama.cpp adds alpha / r · B · A to the matrix.
    """
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, 99)
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    writer.add_name(name)
    writer.add_license("MIT")
    for module, (a, b) in sorted(factors.items()):
        tensor_name = names.get_name(f"{module}.weight", try_suffixes=(".weight",))
        writer.add_tensor(f"{tensor_name}.lora_a", a.numpy().astype(np.float16))
        writer.add_tensor(f"{tensor_name}.lora_b", b.numpy().astype(np.float16))
    _write(writer)


def round_to_file(network: Qwen3ForCausalLM) -> None:
    """Give `network` the weights that the file keeps, in place, so that what is measured is what is shipped."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.copy_(torch.from_numpy(dequantize(quantize(parameter.numpy(), _Q8), _Q8)))


def _named(network: Qwen3ForCausalLM) -> dict[str, Tensor]:
    """The tensors of `network` by their names in GGUF, each once."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, network.config.num_hidden_layers)
    named = {}
    for name, parameter in network.named_parameters():
        tensor_name = names.get_name(name, try_suffixes=(".weight",))
        if tensor_name is None:
            raise LookupError(f"GGUF has no name for {name}")
        named[tensor_name] = parameter.detach()
    return named


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in MARKS else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_eos_token_id(model["vocab"][END])
    writer.add_pad_token_id(model["vocab"][PAD])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
