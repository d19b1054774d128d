"""Writes tiny randomly initialised language models, many variants of each configuration, with the results of transformers.

Versions that wrote the stored files: transformers 5.18.0, torch 2.13.0+cpu, safetensors 0.8.0, Python 3.11. Seed 0 for every
folder on its own. Random weights: no third-party content.

    python make_decoders.py [output folder]      default: the folder of this script
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM, GPT2Config, GPTNeoConfig, GPTNeoXConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config,
)

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
TEXT_VOCAB = 89      # ids that occur; the models' vocabularies are larger, as if padded
BATCH, LENGTH, SHORT = 2, 24, 18
PROMPT, NEW_TOKENS = 8, 12
IDS = dict(bos_token_id=88, eos_token_id=88, pad_token_id=88)


def gpt2(**kwargs):
    base = dict(vocab_size=96, n_positions=40, n_embd=15, n_layer=2, n_head=3, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    return GPT2Config(**{**base, **IDS, **kwargs})


def neo(**kwargs):
    base = dict(vocab_size=96, max_position_embeddings=40, hidden_size=18, num_layers=3, num_heads=3, window_size=5,
                attention_types=[[["local", "global", "local"], 1]], resid_dropout=0, embed_dropout=0, attention_dropout=0)
    return GPTNeoConfig(**{**base, **IDS, **kwargs})


def neox(**kwargs):
    base = dict(vocab_size=104, max_position_embeddings=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                intermediate_size=40)
    return GPTNeoXConfig(**{**base, **IDS, **kwargs})


def llama(kind=LlamaConfig, **kwargs):
    base = dict(vocab_size=96, max_position_embeddings=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, intermediate_size=36, initializer_range=0.02)
    return kind(**{**base, **IDS, **kwargs})


def rope(kind, **kwargs):
    return dict(rope_type=kind, rope_theta=500.0, **kwargs)


CONFIGS = {
    "gpt2-odd-heads": gpt2(n_inner=28),
    "gpt2-unscaled": gpt2(scale_attn_weights=False, tie_word_embeddings=False, activation_function="silu"),
    "gpt2-by-layer": gpt2(scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True, activation_function="relu"),
    "gpt2-bf16": gpt2(n_head=5, activation_function="gelu"),
    "gpt-neo-local-first": neo(),
    "gpt-neo-f16": neo(num_layers=2, attention_types=[[["global", "local"], 1]], intermediate_size=30),
    "gpt-neox-quarter": neox(rotary_pct=0.25, attention_bias=False),
    "gpt-neox-whole": neox(rotary_pct=1.0, use_parallel_residual=False, tie_word_embeddings=True, rotary_emb_base=500),
    "gpt-neox-linear": neox(rope_parameters=rope("linear", factor=2.0, partial_rotary_factor=0.5)),
    "llama": llama(),
    "llama-one-key-head": llama(num_key_value_heads=1, head_dim=10, tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "llama-linear": llama(rope_parameters=rope("linear", factor=4.0), num_key_value_heads=4),
    "llama-dynamic": llama(rope_parameters=rope("dynamic", factor=2.0)),
    "llama-llama3": llama(rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=20), head_dim=16),
    "llama-yarn": llama(rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=10), head_dim=16),
    "llama-yarn-scaled": llama(rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=10, mscale=0.707, mscale_all_dim=1.4, beta_fast=16, beta_slow=2,
        truncate=False), head_dim=16),
    "llama-bf16": llama(num_attention_heads=6, num_key_value_heads=3),
    "mistral-window": llama(MistralConfig, sliding_window=6),
    "qwen2": llama(Qwen2Config, tie_word_embeddings=True),
    "qwen2-sliding": llama(Qwen2Config, use_sliding_window=True, sliding_window=5, max_window_layers=1, num_hidden_layers=3),
    "qwen3": llama(Qwen3Config, head_dim=10),
    "qwen3-bias": llama(Qwen3Config, head_dim=4, num_attention_heads=5, num_key_value_heads=1, attention_bias=True),
}
DTYPES = {"gpt2-bf16": torch.bfloat16, "gpt-neo-f16": torch.float16, "llama-bf16": torch.bfloat16, "qwen3": torch.bfloat16}
# Written with the keys of transformers 4.
OLD_KEYS = ["gpt-neox-linear", "gpt-neox-whole", "llama-llama3", "llama-linear", "llama-bf16", "qwen2"]


def randomise(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim >= 2:
                p.normal_(0, 0.15)
            elif "bias" in name:
                p.normal_(0, 0.05)
            else:
                p.add_(torch.randn_like(p) * 0.1)


def reference(model):
    ids = torch.randint(0, TEXT_VOCAB - 1, (BATCH, LENGTH))
    ids[1, SHORT:] = TEXT_VOCAB - 1
    mask = torch.ones_like(ids)
    mask[1, SHORT:] = 0
    labels = ids.clone()
    labels[mask == 0] = -100
    out = model(input_ids=ids, attention_mask=mask, labels=labels)
    out.loss.backward()
    result = {"input_ids": ids, "logits": out.logits.detach(), "loss": out.loss.detach().reshape(1)}
    for name, p in model.named_parameters():
        result["grad." + name] = p.grad.detach().clone()
    with torch.no_grad():
        result["greedy"] = model.generate(ids[:1, :PROMPT], max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None)
    return {k: v.contiguous() for k, v in result.items()}


def use_old_keys(path):
    config = json.loads(path.read_text())
    parameters = config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    if config["model_type"] == "gpt_neox":
        config["rotary_emb_base"] = parameters.pop("rope_theta")
        config["rotary_pct"] = parameters.pop("partial_rotary_factor")
        config.pop("partial_rotary_factor", None)
    else:
        config["rope_theta"] = parameters.pop("rope_theta")
    if parameters["rope_type"] == "linear":
        parameters["type"] = parameters.pop("rope_type")
    config["rope_scaling"] = None if parameters.get("rope_type") == "default" else parameters
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def main():
    torch.set_num_threads(1)
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().float()
        randomise(model)
        folder = OUT / name
        model.to(DTYPES.get(name, torch.float32)).save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        if name in OLD_KEYS:
            use_old_keys(folder / "config.json")
        # Read back: Module.to() would have narrowed the rotary frequencies too, which no loaded model does.
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        ref = reference(model)
        save_file(ref, folder / "reference.safetensors")
        print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, loss {float(ref['loss']):.7f}")
    for path in OUT.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    print("transformers", transformers.__version__, "torch", torch.__version__)


if __name__ == "__main__":
    main()
