"""Writes classifier-scores.json: what transformers gives for texts under the two classifiers here, with tiny-minilm's tokenizer.

Versions that wrote the stored file: transformers 5.18.0, torch 2.13.0+cpu, Python 3.11. Run make_encoders.py first.

    python make_classifier_scores.py
"""
import json
import pathlib

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

HERE = pathlib.Path(__file__).parent
TEXTS = [
    "A small cat sat on the mat.", "The dog is not here!", "", "repair the model, not the data", "x", "cat " * 60,
    "Unaffable words are split: unaffable, models, repairing", "the the the", "[MASK] is a token", "dog, cat & mat; 12345",
]


def main():
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(HERE / "tiny-minilm")
    result = {"texts": TEXTS}
    # The longest input: 48 positions, of which RoBERTa counts from 2
    for name, longest in [("bert-classifier", 48), ("roberta-classifier", 46)]:
        model = AutoModelForSequenceClassification.from_pretrained(HERE / name).eval()
        rows = []
        for text in TEXTS:
            ids = tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0]
            multi = model.config.problem_type == "multi_label_classification"
            rows.append((torch.sigmoid(logits) if multi else torch.softmax(logits, -1)).tolist())
        result[name] = rows
    (HERE / "classifier-scores.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
