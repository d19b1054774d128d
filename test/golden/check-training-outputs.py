"""Reads what `mendset repair --tensorboard EVENTS --lora R --adapter ADAPTER --out MERGED` wrote with the tensorboard and peft packages.

    python check-training-outputs.py EVENTS [BASE ADAPTER MERGED]
"""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1])
events.Reload()
tags = events.Tags()["scalars"]
assert "train/loss" in tags and "validation/loss" in tags, tags
steps = [s.step for s in events.Scalars("train/loss")]
assert steps == list(range(len(steps))), steps
print(f"{len(tags)} tags, {len(steps)} steps, last loss {events.Scalars('train/loss')[-1].value:.6f}")

if len(sys.argv) > 2:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base, adapter, merged = sys.argv[2:5]
    load = lambda folder: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(0, 256, (2, 24), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = load(merged)(ids).logits
        theirs = PeftModel.from_pretrained(load(base), adapter).eval()(ids).logits
        plain = load(base)(ids).logits
    difference, change = (ours - theirs).abs().max().item(), (ours - plain).abs().max().item()
    print(f"merged and PEFT differ by {difference:.2e}, the repair changed logits by {change:.2e}")
    # a base of 16 bits is saved in 16 bits again, which rounds the merged weights
    stored = AutoModelForCausalLM.from_pretrained(merged, dtype="auto").dtype
    assert difference < (1e-4 if stored == torch.float32 else 1e-2) * max(1.0, change), difference
