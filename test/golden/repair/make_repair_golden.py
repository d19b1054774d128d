"""Writes the golden files of the repair methods: losses, gradients, optimiser steps, choices of blocks, and twenty steps of the
published order of events, all in PyTorch on the tiny models of ../tiny-hf.

Versions that wrote the stored files: torch 2.13.0+cpu, transformers 5.18.0, peft 0.21.0, safetensors 0.8.0. One thread, fp32 as the engine
(reference values that decide something are in fp64 where the engine sums in fp64).

    python make_repair_golden.py [output folder]      default: the folder of this script
"""
import copy
import json
import math
import pathlib
import random
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
TINY = HERE.parent / "tiny-hf"
END = 256
torch.set_num_threads(1)


def load(name, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(TINY / name, attn_implementation="eager").to(dtype).eval()


# ---------------------------------------------------------------- records: prompts and completions of unequal length

def records(count, seed):
    r = random.Random(seed)
    draw = lambda low, high: [r.randrange(0, 256) for _ in range(r.randint(low, high))]
    return [{"prompt": draw(1, 9), "chosen": draw(1, 12), "rejected": draw(2, 14)} for _ in range(count)]


def perturbed(model):
    """A reference that differs from the policy: element i of a tensor of n elements gains 0.02 sin(0.7 i + n mod 7)."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p in other.parameters():
            p.add_((0.02 * torch.sin(0.7 * torch.arange(p.numel(), dtype=torch.float64) + p.numel() % 7)).reshape(p.shape).to(p.dtype))
    return other


# ---------------------------------------------------------------- losses on unpadded sequences, one forward each

def log_probs(model, ids):
    """log p of every token but the first: [length - 1]"""
    logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
    return F.log_softmax(logits, -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def completion_log_prob(model, prompt, completion):
    return log_probs(model, prompt + completion)[len(prompt) - 1:].sum()


def nll(model, batch, side):
    """token mean over the whole batch"""
    parts = [log_probs(model, r["prompt"] + r[side])[len(r["prompt"]) - 1:] for r in batch]
    return -torch.cat(parts).mean()


def sequence_sum(model, batch, side):
    return -torch.stack([completion_log_prob(model, r["prompt"], r[side]) for r in batch]).mean()


def dpo(model, reference, batch, beta):
    losses = []
    for r in batch:
        with torch.no_grad():
            ref = completion_log_prob(reference, r["prompt"], r["chosen"]) - completion_log_prob(reference, r["prompt"], r["rejected"])
        own = completion_log_prob(model, r["prompt"], r["chosen"]) - completion_log_prob(model, r["prompt"], r["rejected"])
        losses.append(F.softplus(-beta * (own - ref)))
    return torch.stack(losses).mean()


def npo(model, reference, batch, beta):
    """arXiv 2404.05868, eq. 3"""
    losses = []
    for r in batch:
        with torch.no_grad():
            ref = completion_log_prob(reference, r["prompt"], r["rejected"])
        ratio = completion_log_prob(model, r["prompt"], r["rejected"]) - ref
        losses.append(-2 / beta * F.logsigmoid(-beta * ratio))
    return torch.stack(losses).mean()


def kl(model, reference, texts, direction):
    """mean over the positions that have a successor"""
    rows = []
    for ids in texts:
        p = F.log_softmax(model(input_ids=torch.tensor([ids])).logits[0, :-1], -1)
        with torch.no_grad():
            r = F.log_softmax(reference(input_ids=torch.tensor([ids])).logits[0, :-1], -1)
        rows.append((r.exp() * (r - p)).sum(-1) if direction == "forward" else (p.exp() * (p - r)).sum(-1))
    return torch.cat(rows).mean()


def block_of(name):
    parts = name.split(".")
    return int(parts[parts.index("h") + 1]) if "h" in parts else int(parts[parts.index("layers") + 1]) if "layers" in parts else -1


def sensitivities(model, batch):
    model.zero_grad()
    nll(model, batch, "rejected").backward()
    squares = {}
    for name, p in model.named_parameters():
        if block_of(name) >= 0:
            squares[block_of(name)] = squares.get(block_of(name), 0.0) + float(p.grad.double().square().sum())
    model.zero_grad()
    return [math.sqrt(squares[b]) for b in sorted(squares)]


# ---------------------------------------------------------------- one golden per model: every loss with its whole gradient

BETA, WEIGHT, GAMMA = 0.1, 0.5, 1.0


def losses(model, reference, batch, texts):
    yield "ce", nll(model, batch, "chosen")
    yield "ce-sequence-sum", sequence_sum(model, batch, "chosen")
    yield "dpo", dpo(model, reference, batch, BETA)
    yield "npo", npo(model, reference, batch, BETA)
    for direction in ("forward", "reverse"):
        term = lambda: GAMMA * kl(model, reference, texts, direction)
        yield f"ce+kl-{direction}", WEIGHT * nll(model, batch, "chosen") + term()
        yield f"dpo+kl-{direction}", WEIGHT * dpo(model, reference, batch, BETA) + term()
        yield f"npo+kl-{direction}", WEIGHT * npo(model, reference, batch, BETA) + term()


def gradients(model):
    return {n: (p.grad if p.grad is not None else torch.zeros_like(p)).detach().clone().contiguous() for n, p in model.named_parameters()}


def loss_golden(name):
    model = load(name)
    reference = perturbed(model)
    batch, texts = records(5, 11), [r["prompt"] + r["chosen"] + r["rejected"] for r in records(3, 12)]
    tensors, figures = {}, {}
    for label, loss in losses(model, reference, batch, texts):
        model.zero_grad()
        loss.backward()
        figures[label] = {"loss": float(loss), "gradientNorm": math.sqrt(sum(float(g.double().square().sum()) for g in gradients(model).values()))}
        if label in STORED_GRADIENTS:
            tensors.update({f"{label}.{n}": g for n, g in gradients(model).items() if block_of(n) in (-1, 1)})
    return {"model": name, "beta": BETA, "repairWeight": WEIGHT, "klWeight": GAMMA, "batch": batch, "texts": texts, "losses": figures,
            "sensitivities": sensitivities(model, batch)}, tensors


# Gradients of the losses that the others are sums of, outside the blocks and in block 1; everything else is checked by loss and norm.
STORED_GRADIENTS = ("ce", "dpo", "npo", "ce+kl-forward", "ce+kl-reverse")


# ---------------------------------------------------------------- LoRA by PEFT, its gradients, and the files it writes

def lora_golden(name, targets):
    from peft import LoraConfig, get_peft_model
    torch.manual_seed(3)
    base = load(name)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=6, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM",
                                            fan_in_fan_out=name == "tiny-gpt2")).eval()
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "lora_B" in n:
                p.normal_(0, 0.05)
    batch = records(5, 11)
    loss = nll(model, batch, "chosen")
    loss.backward()
    folder = OUT / f"lora-{name}"
    model.save_pretrained(folder)
    for path in folder.glob("README.md"):
        path.unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"], config["target_modules"] = name, sorted(config["target_modules"])
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    grads = {n.replace(".default", ""): p.grad.detach().clone().contiguous() for n, p in model.named_parameters() if p.grad is not None}
    save_file(grads, folder / "gradients.safetensors", metadata={"made_by": "make_repair_golden.py"})
    ids = batch[0]["prompt"] + batch[0]["chosen"]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0]
    save_file({"logits": logits.contiguous()}, folder / "logits.safetensors", metadata={"made_by": "make_repair_golden.py"})
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in grads.values()))
    return {"model": name, "rank": 4, "alpha": 6, "targets": targets, "batch": batch, "loss": float(loss), "gradientNorm": norm, "ids": ids}


# ---------------------------------------------------------------- the training loops

def rmsprop(parameters, lr):
    return torch.optim.RMSprop(parameters, lr=lr)  # alpha .99, eps 1e-8, no momentum: what the published code really passes


def clip(parameters, limit):
    return float(torch.nn.utils.clip_grad_norm_(parameters, limit))


def principled_run(name, method, optimizer_kind, steps, lr, warmup, adapter=None):
    """Unpadded sequences in the order given, four at a time."""
    model = load(name)
    reference = load(name)
    data, texts = records(4 * steps, 21), [r["prompt"] + r["chosen"] for r in records(4 * steps, 22)]
    params = list(model.parameters())
    opt = rmsprop(params, lr) if optimizer_kind == "rmsprop" else torch.optim.AdamW(params, lr=lr, weight_decay=0.01)
    log = []
    for s in range(steps):
        for group in opt.param_groups:
            group["lr"] = lr * min(1.0, (s + 1) / (warmup + 1))
        batch, normal = data[4 * s:4 * s + 4], texts[4 * s:4 * s + 4]
        block, sens = None, None
        if method.startswith("irepair"):
            sens = sensitivities(model, batch)
            block = max(range(len(sens)), key=lambda b: (sens[b], -b))
        base = {"dapt": lambda: nll(model, batch, "chosen"), "irepair": lambda: nll(model, batch, "chosen"),
                "dpo": lambda: dpo(model, reference, batch, BETA), "npo": lambda: npo(model, reference, batch, BETA)}[method.split("+")[0]]()
        loss = WEIGHT * base + GAMMA * kl(model, reference, normal, "forward") if method.endswith("+kl") else base
        opt.zero_grad(set_to_none=True)
        loss.backward()
        trained = [p for n, p in model.named_parameters() if block is None or block_of(n) == block]
        if block is not None:
            for n, p in model.named_parameters():
                if block_of(n) != block:
                    p.grad = None
        norm = clip(trained, 0.5)
        opt.step()
        log.append({"loss": float(loss), "gradientNorm": norm, "block": block, "sensitivities": sens})
    return {"model": name, "method": method, "optimizer": optimizer_kind, "learningRate": lr, "warmup": warmup, "data": data, "texts": texts,
            "log": log}, {n: p.detach().clone().contiguous() for n, p in model.named_parameters()}


# ---------------------------------------------------------------- the published order of events (preset `paper`)
#
# Records in selection order; prompts left-padded to the batch's longest and completions right-padded, positions counted over the
# padded row; every real token of the row that follows a real token is scored, prompt included; KL unshifted over all positions of the normal
# texts, log(prob + 1e-12); normal texts drawn by Python's random.sample from a seeded shuffle; no final validation. Two details of
# the published code are not in it, because no unpadded batch can have them: targets that a pad predicts, and DPO's padding of the
# narrower side with id 0 (with the fp16 reference they are what preset `paper` says it leaves out).

PAPER = {"batch": 4, "evalBatch": 8, "evalEvery": 40, "clip": 0.5, "seed": 202}


def padded(batch, side):
    longest_prompt = max(len(r["prompt"]) for r in batch)
    longest = max(len(r[side]) for r in batch)
    ids, mask = [], []
    for r in batch:
        left, right = longest_prompt - len(r["prompt"]), longest - len(r[side])
        ids.append([END] * left + r["prompt"] + r[side] + [END] * right)
        mask.append([0] * left + [1] * (len(r["prompt"]) + len(r[side])) + [0] * right)
    return torch.tensor(ids), torch.tensor(mask)


def padded_rows(model, batch, side):
    """-log p of each row's scored tokens, as [rows, width - 1] and the mask of those that count"""
    ids, mask = padded(batch, side)
    positions = torch.arange(ids.shape[1]).expand_as(ids)
    logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, :-1]
    losses = -F.log_softmax(logits, -1).gather(2, ids[:, 1:, None])[..., 0]
    return losses, (mask[:, 1:] * mask[:, :-1]).float()


def paper_nll(model, batch, side):
    losses, counted = padded_rows(model, batch, side)
    return (losses * counted).sum() / counted.sum()


def paper_sequence_sum(model, batch, side):
    losses, counted = padded_rows(model, batch, side)
    return (losses * counted).sum(1).mean()


def paper_kl(model, reference, texts):
    rows = []
    for ids in texts:
        p = F.softmax(model(input_ids=torch.tensor([ids])).logits[0], -1)
        with torch.no_grad():
            r = F.softmax(reference(input_ids=torch.tensor([ids])).logits[0], -1)
        rows.append((r * ((r + 1e-12).log() - (p + 1e-12).log())).sum(-1))
    return torch.cat(rows).mean()


def paper_run(name, method, steps, lr, warmup):
    model, reference = load(name), load(name)
    data, validation = records(4 * steps, 31), records(16, 32)
    all_texts = [r["prompt"] + r["chosen"] + r["rejected"] for r in records(40, 33)]
    texts, held = all_texts[:-10], all_texts[-10:]  # a quarter of fewer than 128
    with_kl = method.endswith("+kl")
    kind = method.split("+")[0]
    draws = random.Random(PAPER["seed"])
    order = list(range(len(texts)))
    draws.shuffle(order)
    opt = rmsprop(list(model.parameters()), lr)

    def repair_loss(batch):
        if kind == "dpo":
            return dpo(model, reference, batch, BETA)
        if kind == "dapt" and not with_kl:
            return paper_sequence_sum(model, batch, "chosen")
        return paper_nll(model, batch, "chosen")

    def validate():
        chunk = lambda rows: [rows[i:i + PAPER["evalBatch"]] for i in range(0, len(rows), PAPER["evalBatch"])]
        with torch.no_grad():
            parts = [(float(repair_loss(b)), len(b)) for b in chunk(validation)]
            loss = sum(l for l, _ in parts) / len(parts)  # equal batches: the mean over sequences is the mean over batches
            if not with_kl:
                return loss
            kls = [float(paper_kl(model, reference, b)) for b in chunk(held)]
        return WEIGHT * loss + GAMMA * sum(kls) / len(kls)

    log, curve = [], []
    for s in range(steps):
        examples = 4 * s
        if examples > 0 and examples % PAPER["evalEvery"] == 0:
            curve.append({"step": s, "loss": validate()})
        for group in opt.param_groups:
            group["lr"] = lr * min(1.0, (s + 1) / (warmup + 1))
        batch = data[4 * s:4 * s + 4]
        normal = [texts[order[i]] for i in draws.sample(range(len(texts)), 4)] if with_kl else None
        block = None
        if kind == "irepair":
            model.zero_grad()
            paper_nll(model, batch, "rejected").backward()
            squares = {}
            for n, p in model.named_parameters():
                if block_of(n) >= 0:
                    squares[block_of(n)] = squares.get(block_of(n), 0.0) + float(p.grad.double().square().sum())
            block = max(sorted(squares), key=lambda b: (squares[b], -b))
        base = repair_loss(batch)
        loss = WEIGHT * base + GAMMA * paper_kl(model, reference, normal) if with_kl else base
        opt.zero_grad(set_to_none=True)
        loss.backward()
        if block is not None:
            for n, p in model.named_parameters():
                if block_of(n) != block:
                    p.grad = None
        norm = clip([p for p in model.parameters() if p.grad is not None], PAPER["clip"])
        opt.step()
        log.append({"loss": float(loss), "lossRepair": float(base), "gradientNorm": norm, "block": block})
    return {"model": name, "method": method, "learningRate": lr, "warmup": warmup, "steps": steps, **PAPER, "data": data,
            "validation": validation, "texts": all_texts, "log": log, "curve": curve}


def write(name, document):
    (OUT / name).write_text(json.dumps(document) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name in ("tiny-gpt2", "tiny-gpt-neo", "tiny-gpt-neox"):
        figures, tensors = loss_golden(name)
        write(f"losses-{name}.json", figures)
        if name == "tiny-gpt2":
            save_file(tensors, OUT / f"gradients-{name}.safetensors", metadata={"made_by": "make_repair_golden.py"})
    write("lora.json", [lora_golden("tiny-gpt2", ["c_attn", "c_fc", "c_proj"]), lora_golden("tiny-gpt-neo", ["q_proj", "v_proj"]),
                        lora_golden("tiny-gpt-neox", ["query_key_value", "dense_h_to_4h"])])
    runs = []
    for method in ("dapt", "dapt+kl", "dpo", "dpo+kl", "npo", "irepair", "irepair+kl"):
        for kind in ("rmsprop", "adamw"):
            figures, weights = principled_run("tiny-gpt2", method, kind, 5, 1e-3, 2)
            figures["checksums"] = {n: [float(w.double().sum()), float(w.double().square().sum())] for n, w in weights.items()}
            runs.append(figures)
    write("runs.json", runs)
    write("paper.json", [paper_run("tiny-gpt2", m, 20, 1e-3, 5) for m in ("dapt", "dapt+kl", "dpo", "irepair", "irepair+kl")]
          + [paper_run("tiny-gpt-neo", "irepair+kl", 20, 1e-3, 5)])


if __name__ == "__main__":
    main()
    for path in OUT.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
