"""One measurement of PyTorch on a GPT-2, in a process of its own: prints one JSON line.

    python measure_lm.py WORK PEER --model DIR --tokens F.npy [--threads T] [--steps S] [--new-tokens N]

WORK: forward, gradient (forward + backward), step (with RMSprop), step-kl, dpo, irepair, norms, generate.
PEER: torch = GPT-2 written with torch's functions on plain tensors (fused attention, no module overhead); torch-naive and torch-ghost for
norms: one backward pass for each example, or Gram products in one activation-only backward; transformers = its `generate`.
`seconds` is the median of S runs after one that is not counted. As published and as TRL does by default, the original model runs inside
every KL and DPO step.
"""
import argparse
import json
import os
import resource
import statistics
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("work")
parser.add_argument("peer")
parser.add_argument("--model", required=True)
parser.add_argument("--tokens", required=True)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--new-tokens", type=int, default=20)
a = parser.parse_args()
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(a.threads)

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

torch.set_num_threads(a.threads)
LR = 1e-7


class Gpt2:
    """The forward pass on a dictionary of tensors; hooks let the ghost norms watch every linear map, norm and the embedding."""

    def __init__(self, folder):
        from safetensors.torch import load_file

        with open(os.path.join(folder, "config.json")) as file:
            config = json.load(file)
        self.layers, self.heads = config["n_layer"], config["n_head"]
        self.epsilon = config.get("layer_norm_epsilon", 1e-5)
        self.p = {name.removeprefix("transformer."): value.float() for name, value in load_file(os.path.join(folder, "model.safetensors")).items()}
        self.p.pop("lm_head.weight", None)

    def copy(self):
        other = object.__new__(Gpt2)
        other.__dict__.update(self.__dict__)
        other.p = {name: value.detach().clone() for name, value in self.p.items()}
        return other

    def train(self):
        for value in self.p.values():
            value.requires_grad_(True)
        return list(self.p.values())

    def linear(self, x, name):
        w = self.p[name + ".weight"]
        return torch.addmm(self.p[name + ".bias"], x.reshape(-1, w.shape[0]), w).view(*x.shape[:-1], w.shape[1])

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.p[name + ".weight"], self.p[name + ".bias"], self.epsilon)

    def embed(self, ids):
        return F.embedding(ids, self.p["wte.weight"]) + self.p["wpe.weight"][: ids.shape[1]]

    def hidden(self, ids):
        x = self.embed(ids)
        batch, length, width = x.shape
        for block in range(self.layers):
            at = f"h.{block}."
            qkv = self.linear(self.norm(x, at + "ln_1"), at + "attn.c_attn")
            q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in qkv.split(width, dim=2))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, length, width)
            x = x + self.linear(mixed, at + "attn.c_proj")
            x = x + self.linear(F.gelu(self.linear(self.norm(x, at + "ln_2"), at + "mlp.c_fc"), approximate="tanh"), at + "mlp.c_proj")
        return self.norm(x, "ln_f")

    def logits(self, ids):
        return self.hidden(ids) @ self.p["wte.weight"].t()

    def loss(self, ids):
        logits = self.logits(ids)[:, :-1]
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))

    def log_prob(self, ids):
        logits = self.logits(ids)[:, :-1]
        return torch.log_softmax(logits, -1).gather(2, ids[:, 1:, None]).squeeze(2).sum(1)


def machine_busy():
    try:
        with open("/proc/stat") as file:
            fields = [int(v) for v in file.readline().split()[1:9]]
    except OSError:
        return None
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def own_busy():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


model = Gpt2(a.model)
ids = torch.from_numpy(np.load(a.tokens).astype(np.int64))
first, second = ids[: len(ids) // 2], ids[len(ids) // 2 :]


def forward():
    def run():
        with torch.no_grad():
            return float(model.loss(ids))

    return run, None


def gradient():
    parameters = model.train()

    def run():
        for value in parameters:
            value.grad = None
        loss = model.loss(ids)
        loss.backward()
        return float(loss.detach())

    return run, None


def stepping(loss_of):
    optimiser = torch.optim.RMSprop(model.train(), lr=LR)

    def run():
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return run, None


def step_kl():
    reference = model.copy()

    def loss_of():
        with torch.no_grad():
            wanted = F.log_softmax(reference.logits(second)[:, :-1], -1)
        kl = F.kl_div(F.log_softmax(model.logits(second)[:, :-1], -1), wanted, log_target=True, reduction="none").sum(-1).mean()
        return 0.5 * model.loss(first) + kl

    return stepping(loss_of)


def dpo():
    reference = model.copy()

    def loss_of():
        with torch.no_grad():
            r = reference.log_prob(ids)
        p = model.log_prob(ids)  # chosen and rejected in one batch
        n = len(first)
        return -F.logsigmoid(0.1 * ((p[:n] - p[n:]) - (r[:n] - r[n:]))).mean()

    return stepping(loss_of)


def irepair():
    """The published order: gradients of all parameters on the rejected texts, then again on the chosen ones; one block is updated."""
    parameters = model.train()
    optimisers = [torch.optim.RMSprop([v for k, v in model.p.items() if k.startswith(f"h.{b}.")], lr=LR) for b in range(model.layers)]
    chosen_block = []

    def run():
        for value in parameters:
            value.grad = None
        model.loss(second).backward()
        norms = [sum(float((v.grad**2).sum()) for k, v in model.p.items() if k.startswith(f"h.{b}.")) for b in range(model.layers)]
        block = max(range(model.layers), key=lambda b: norms[b])
        chosen_block[:] = [block]
        for value in parameters:
            value.grad = None
        loss = model.loss(first)
        loss.backward()
        optimisers[block].step()
        return float(loss.detach())

    return run, lambda: {"block": chosen_block[0]}


def norms_naive():
    parameters = model.train()
    found = []

    def run():
        found.clear()
        for i in range(len(ids)):
            for value in parameters:
                value.grad = None
            model.loss(ids[i : i + 1]).backward()
            found.append(float(torch.stack([(value.grad**2).sum() for value in parameters]).double().sum().sqrt()))
        return sum(found) / len(found)

    return run, lambda: {"norm": found}


def norms_ghost():
    squares = {}

    def gram(rows):
        return rows @ rows.transpose(1, 2)

    class WatchLinear(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, name):
            ctx.save_for_backward(x)
            ctx.name = name
            return Gpt2.linear(model, x, name)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            length, inputs, outputs = x.shape[1], x.shape[2], g.shape[2]
            cheap = length * (inputs + outputs) < 2 * inputs * outputs
            squares[ctx.name + ".weight"] = (gram(x) * gram(g)).sum((1, 2)) if cheap else (x.transpose(1, 2) @ g).pow(2).sum((1, 2))
            squares[ctx.name + ".bias"] = g.sum(1).pow(2).sum(1)
            return g @ model.p[ctx.name + ".weight"].t(), None

    class WatchNorm(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y, x, name):
            ctx.save_for_backward(x)
            ctx.name = name
            return y.view_as(y)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            squares[ctx.name + ".weight"] = (F.layer_norm(x, x.shape[-1:], eps=model.epsilon) * g).sum(1).pow(2).sum(1)
            squares[ctx.name + ".bias"] = g.sum(1).pow(2).sum(1)
            return g, None, None

    inputs, targets = ids[:, :-1], ids[:, 1:]
    head = model.p["wte.weight"]
    same = (inputs[:, :, None] == inputs[:, None, :]).float()
    watched = model.copy()
    watched.p = model.p
    watched.linear = lambda x, name: WatchLinear.apply(x, name)
    watched.norm = lambda x, name: WatchNorm.apply(Gpt2.norm(model, x, name), x.detach(), name)
    norms = []

    def run():
        squares.clear()
        leaves = []

        def embed(tokens):
            leaves.append(Gpt2.embed(model, tokens).requires_grad_(True))
            return leaves[0]

        watched.embed = embed
        hidden = watched.hidden(inputs)
        h = hidden.detach()
        d_h = torch.empty_like(h)
        tied = torch.zeros(len(ids))
        cross = torch.empty(len(ids), inputs.shape[1], inputs.shape[1])
        places = torch.arange(inputs.shape[1])
        with torch.no_grad():
            for i in range(len(ids)):
                p = torch.softmax(h[i] @ head.t(), -1)
                p[places, targets[i]] -= 1
                p /= inputs.shape[1]
                tied[i] = ((p @ p.t()) * (h[i] @ h[i].t())).sum()
                cross[i] = p[:, inputs[i]]
                d_h[i] = p @ head
        hidden.backward(d_h)
        e = leaves[0].grad
        squares["wte.weight"] = tied + (gram(e) * same).sum((1, 2)) + 2 * (cross * (h @ e.transpose(1, 2))).sum((1, 2))
        squares["wpe.weight"] = e.pow(2).sum((1, 2))
        norms[:] = torch.stack([squares[name] for name in model.p]).double().sum(0).sqrt().tolist()
        return sum(norms) / len(norms)

    return run, lambda: {"norm": norms}


def generate():
    from transformers import GPT2LMHeadModel

    theirs = GPT2LMHeadModel.from_pretrained(a.model, attn_implementation="sdpa").eval()
    prompts = [ids[i, : 8 + (i % 5) * 4] for i in range(len(ids))]
    longest = max(map(len, prompts))
    padded = torch.stack([F.pad(prompt, (longest - len(prompt), 0)) for prompt in prompts])
    mask = torch.stack([F.pad(torch.ones(len(prompt), dtype=torch.long), (longest - len(prompt), 0)) for prompt in prompts])
    made = []

    def run():
        with torch.no_grad():
            out = theirs.generate(padded, attention_mask=mask, max_new_tokens=a.new_tokens, do_sample=False, pad_token_id=50256, use_cache=True)
        made[:] = out[:, longest:].tolist()
        return None

    return run, lambda: {"generated": made}


WORKS = {
    ("forward", "torch"): forward,
    ("gradient", "torch"): gradient,
    ("step", "torch"): lambda: stepping(lambda: model.loss(ids)),
    ("step-kl", "torch"): step_kl,
    ("dpo", "torch"): dpo,
    ("irepair", "torch"): irepair,
    ("norms", "torch-naive"): norms_naive,
    ("norms", "torch-ghost"): norms_ghost,
    ("generate", "transformers"): generate,
}


def main():
    run, more = WORKS[(a.work, a.peer)]()
    first_loss = run()  # not counted
    seconds, foreign = [], []
    for _ in range(a.steps):
        machine, own, start = machine_busy(), own_busy(), time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
        busy = own_busy() - own
        foreign.append(0.0 if machine is None else max(0.0, machine_busy() - machine - busy) / max(seconds[-1], 1e-9))
    scale = 1 if sys.platform == "darwin" else 1024
    version = torch.__version__
    if a.peer == "transformers":
        import transformers

        version = transformers.__version__
    print(
        json.dumps(
            {
                "work": a.work,
                "peer": a.peer,
                "threads": a.threads,
                "version": version,
                "seconds": statistics.median(seconds),
                "foreign": max(foreign),
                "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale,
                "loss": first_loss,
                **(more() if more else {}),
            }
        )
    )


if __name__ == "__main__":
    main()
