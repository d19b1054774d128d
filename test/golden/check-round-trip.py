"""Loads a checkpoint that mendset wrote with transformers and compares logits. Not part of `npm test`.

  node test/golden/save-all.mjs OUT                    (every golden model, single and in shards)
  python check-round-trip.py FOLDER IDS.json LOGITS.npy [--tolerance 1e-4]

IDS.json: a list of token ids; LOGITS.npy: mendset's logits for them, [tokens, vocabulary]. Versions: transformers 5.18.0, torch 2.13.0.
"""
import argparse
import json

import numpy as np
import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("ids")
parser.add_argument("logits")
parser.add_argument("--tolerance", type=float, default=1e-4)
args = parser.parse_args()

model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32).eval()
ids = torch.tensor([json.load(open(args.ids))])
with torch.no_grad():
    reference = model(ids).logits[0].numpy()
difference = float(np.abs(reference - np.load(args.logits)).max())
print(json.dumps({"folder": args.folder, "tokens": int(ids.shape[1]), "largest_difference": difference}))
raise SystemExit(0 if difference <= args.tolerance else 1)
