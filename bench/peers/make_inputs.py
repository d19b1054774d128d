"""Write the matrices that ours and the peers' measurements share, with fixed seeds, and manifest.json with their sha256.

    python make_inputs.py --out FOLDER [--small]        --small: a tenth of the rows, to try the scripts

numpy's RandomState is frozen, so that equal sums mean equal inputs on any machine.
"""
import argparse
import hashlib
import json
import os

import numpy as np

SEED = 20251
KINDS = {"gaussian": 1, "clustered": 2, "unit": 3, "blobs": 4}


def matrix(kind, n, d, k):
    """gaussian: N(0, 1). clustered: k heavy-tailed clusters of unequal size. unit: gaussian rows of length 1. blobs: k tight clusters."""
    source = np.random.RandomState([SEED, KINDS[kind], n, d])
    if kind in ("gaussian", "unit"):
        x = source.standard_normal((n, d)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True) if kind == "unit" else x
    centres = source.standard_normal((k, d)).astype(np.float32)
    if kind == "blobs":
        return centres[source.randint(0, k, n)] * np.float32(2) + source.standard_normal((n, d)).astype(np.float32)
    weights = source.standard_exponential(k)
    label = source.choice(k, n, p=weights / weights.sum())
    spread = (0.6 * np.exp(0.4 * source.standard_normal(n))).astype(np.float32)[:, None]
    return centres[label] + spread * source.standard_normal((n, d)).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--small", action="store_true")
    a = parser.parse_args()
    os.makedirs(a.out, exist_ok=True)
    s = 10 if a.small else 1
    manifest = {}

    def save(name, make):
        path = os.path.join(a.out, name)
        if not os.path.exists(path):
            np.save(path + ".part.npy", np.ascontiguousarray(make()))
            os.replace(path + ".part.npy", path)
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(1 << 24):
                digest.update(piece)
        manifest[name] = {"bytes": os.path.getsize(path), "sha256": digest.hexdigest(), "seed": SEED}

    for name, kind, n, d, k in [
        ("gaussian", "gaussian", 100_000 // s, 384, 256 // s),
        ("clustered", "clustered", 100_000 // s, 384, 256 // s),
        ("unit", "unit", 100_000 // s, 384, 256 // s),
        ("blobs", "blobs", 100_000 // s, 768, 1000 // s),
        ("pool", "clustered", 24_576 // s, 384, 10),
    ]:
        save(f"{name}.npy", lambda: matrix(kind, n, d, k))
        rows = np.random.RandomState([SEED, 99, n]).permutation(n)[:k]
        save(f"{name}.start.npy", lambda: np.load(os.path.join(a.out, f"{name}.npy"), mmap_mode="r")[np.sort(rows)])
    save("scores.npy", lambda: np.random.RandomState([SEED, 50]).beta(2, 5, 10_000_000 // s))
    with open(os.path.join(a.out, "manifest.json"), "w") as file:
        json.dump(manifest, file, indent=2, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    main()
