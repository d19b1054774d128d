"""Writes evaluation.json: perplexities by the code of the Hugging Face perplexity guide and LAMBADA numbers by lm-evaluation-harness, for
the demo model on its own texts.

Versions that wrote the stored file: torch 2.13.0+cpu, transformers 5.18.0, lm_eval 0.4.13. One thread, fp32.

    python make_evaluation_golden.py [output folder]      default: the folder of this script
"""
import importlib.util
import json
import math
import pathlib
import sys
import unittest.mock

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = pathlib.Path(__file__).parent
OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
DEMO = HERE.parent.parent.parent / "assets" / "demo"
TEXTS = 60
CHARACTERS = 12000
torch.set_num_threads(1)

model = AutoModelForCausalLM.from_pretrained(DEMO / "model", dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(DEMO / "model")


def guide_perplexity(text, window, stride):
    """huggingface.co/docs/transformers/perplexity, with max_length = window"""
    encodings = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    max_length, seq_len = window, encodings.size(1)
    nll_sum, n_tokens, prev_end_loc = 0.0, 0, 0
    for begin_loc in range(0, seq_len, stride):
        end_loc = min(begin_loc + max_length, seq_len)
        trg_len = end_loc - prev_end_loc
        input_ids = encodings[:, begin_loc:end_loc]
        target_ids = input_ids.clone()
        target_ids[:, :-trg_len] = -100
        with torch.no_grad():
            neg_log_likelihood = model(input_ids, labels=target_ids).loss
        num_valid_tokens = (target_ids != -100).sum().item()
        num_loss_tokens = num_valid_tokens - target_ids.size(0)
        nll_sum += neg_log_likelihood.double() * num_loss_tokens
        n_tokens += num_loss_tokens
        prev_end_loc = end_loc
        if end_loc == seq_len:
            break
    return {"window": window, "stride": stride, "tokens": seq_len, "ppl": math.exp(float(nll_sum) / n_tokens)}


def harness():
    # packages that the harness imports for metrics and downloads, neither of which is used here
    for name in ("evaluate", "requests", "datasets", "sacrebleu", "sqlitedict", "jsonlines", "word2number", "more_itertools", "pytablewriter",
                 "tqdm_multiprocess", "zstandard", "rouge_score", "dill", "accelerate"):
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = unittest.mock.MagicMock(__spec__=None)
    from lm_eval.models.huggingface import HFLM
    return HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=1, dtype="float32")


def lambada(texts):
    """lambada_openai: everything before the last space, then " " and the last word"""
    lm = harness()
    from lm_eval.api.instance import Instance
    requests = []
    for i, text in enumerate(texts):
        context, word = text.rsplit(" ", 1)
        requests.append(Instance("loglikelihood", {}, (context, " " + word), i))
    answers = lm.loglikelihood(requests)
    return {"texts": len(texts), "ppl": math.exp(-sum(ll for ll, _ in answers) / len(answers)),
            "acc": sum(bool(greedy) for _, greedy in answers) / len(answers), "logLikelihoods": [ll for ll, _ in answers]}


def main():
    text = (DEMO / "running-text.txt").read_text()[:CHARACTERS]
    rows = [json.loads(line)["text"] for line in (DEMO / "last-word.jsonl").read_text().splitlines()[:TEXTS]]
    golden = {
        "characters": CHARACTERS,
        "perplexity": [guide_perplexity(text, w, s) for w, s in ((128, 128), (128, 64), (64, 64), (64, 32), (100, 37))],
        "lambada": lambada(rows),
    }
    (OUT / "evaluation.json").write_text(json.dumps(golden) + "\n")
    print({k: v for k, v in golden["lambada"].items() if k != "logLikelihoods"}, golden["perplexity"])


if __name__ == "__main__":
    main()
