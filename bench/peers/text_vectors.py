"""Vectors of real texts: TF-IDF over words and word pairs, reduced by truncated SVD to 384 columns, rows of length 1.

    python text_vectors.py --out FOLDER --texts texts.jsonl      one JSON object {"text": ...} a line

The texts come from bench/real-vectors.mjs, which writes those of the repository and of any other folder.
"""
import argparse
import json
import os

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--texts", required=True)
    a = parser.parse_args()
    with open(a.texts, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    counts = TfidfVectorizer(sublinear_tf=True, min_df=3, ngram_range=(1, 2), dtype=np.float32).fit_transform(texts)
    x = TruncatedSVD(min(384, counts.shape[1] - 1), n_iter=4, random_state=1).fit_transform(counts).astype(np.float32)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    np.save(os.path.join(a.out, "tfidf.npy"), x)
    k = min(64, len(x) // 10)
    rows = np.sort(np.random.RandomState([20251, 99, len(x)]).permutation(len(x))[:k])
    np.save(os.path.join(a.out, "tfidf.start.npy"), x[rows])


if __name__ == "__main__":
    main()
