"""PyTorch at the sizes of native/bench/cuda_bench.cpp, on the same card: one line "case seconds" per figure.

    python3 bench/peers/cuda_peers.py [case ...]

cases: k-means k-center step-small-eager step-small-compiled step-xl-eager step-xl-compiled norms-small-naive decode
Needs torch with CUDA, and transformers for the language-model cases.
"""

import statistics
import sys
import time

import torch

ROWS, COLUMNS, CLUSTERS, CENTRES = 1_000_000, 768, 1000, 10_000
DEVICE = "cuda"


def timed(work, count=5, warm=3):
    for _ in range(warm):
        work()
    torch.cuda.synchronize()
    seconds = []
    for _ in range(count):
        before = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - before)
    return statistics.median(seconds)


def points():
    torch.manual_seed(1)
    centres = torch.rand(2000, COLUMNS, device=DEVICE) - 0.5
    x = torch.rand(ROWS, COLUMNS, device=DEVICE) - 0.5
    return x + centres[torch.arange(ROWS, device=DEVICE) % 2000]


def k_means():
    """One Lloyd iteration in fp32 (TF32 off): blocked matrix product, argmin, sums by label."""
    x = points()
    c = x[:CLUSTERS].clone()
    block = 131_072

    def iteration():
        norms = (c * c).sum(1)
        labels = torch.cat([torch.addmm(norms, x[i : i + block], c.T, alpha=-2).argmin(1) for i in range(0, ROWS, block)])
        sums = torch.zeros_like(c).index_add_(0, labels, x)
        counts = torch.bincount(labels, minlength=CLUSTERS).clamp(min=1)
        return sums / counts[:, None]

    return timed(iteration, 3, 1)


def k_center():
    """One pass per centre, timed for 200 centres and scaled to all."""
    x = points()
    norms = (x * x).sum(1)
    least = torch.full((ROWS,), float("inf"), device=DEVICE)

    def passes(count=200):
        index = 0
        for _ in range(count):
            distance = torch.addmv(norms + norms[index], x, x[index], alpha=-2)
            torch.minimum(least, distance, out=least)
            index = int(least.argmax())

    return timed(passes, 1, 1) * CENTRES / 200


def gpt2(layers, width, heads):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    config = GPT2Config(n_layer=layers, n_head=heads, n_embd=width, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, attn_implementation="sdpa")
    return GPT2LMHeadModel(config).to(DEVICE)


def step(shape, samples, compiled):
    """Forward, backward and RMSprop on fp32 master weights under bfloat16 autocast."""
    model = gpt2(*shape)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-5, foreach=True)
    call = torch.compile(model) if compiled else model
    ids = torch.randint(0, 50257, (samples, 1024), device=DEVICE)

    def work():
        with torch.autocast(DEVICE, torch.bfloat16):
            loss = call(ids, labels=ids).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return timed(work)


def norms_naive():
    model = gpt2(12, 768, 12)
    ids = torch.randint(0, 50257, (16, 1024), device=DEVICE)

    def work():
        for row in ids:
            model.zero_grad(set_to_none=True)
            with torch.autocast(DEVICE, torch.bfloat16):
                model(row[None], labels=row[None]).loss.backward()
            torch.stack([p.grad.square().sum() for p in model.parameters()]).sum().sqrt().item()

    return timed(work, 3, 1)


def decode():
    model = gpt2(12, 768, 12).to(torch.bfloat16).eval()
    ids = torch.randint(0, 50257, (16, 64), device=DEVICE)

    def work():
        with torch.no_grad():
            model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=128, min_new_tokens=128, do_sample=False, pad_token_id=0)

    return timed(work, 3, 1)


SMALL, XL = (12, 768, 12), (48, 1600, 25)
CASES = {
    "k-means": k_means,
    "k-center": k_center,
    "step-small-eager": lambda: step(SMALL, 16, False),
    "step-small-compiled": lambda: step(SMALL, 16, True),
    "step-xl-eager": lambda: step(XL, 4, False),
    "step-xl-compiled": lambda: step(XL, 4, True),
    "norms-small-naive": norms_naive,
    "decode": decode,
}

if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}", file=sys.stderr)
    for name in sys.argv[1:] or CASES:
        try:
            print(name, f"{CASES[name]():.6g}", flush=True)
        except Exception as error:  # a case that does not run here must not take the others with it
            print(name, "failed", " ".join(str(error).split())[:200], flush=True)
        torch.cuda.empty_cache()
