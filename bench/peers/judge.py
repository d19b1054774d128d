"""Judge results of measurements by one function for all: prints one JSON line.

    python judge.py inertia --x X.npy LABELS.npy...      sum of squared distances to the mean of the own cluster, in fp64
    python judge.py order --x X.npy RESULT.npy...        for each: length of the common beginning with the first and, where they part, by
                                                         how much (relative, fp64) the first one's next centre is farther than the other's
    python judge.py same RESULT.npy RESULT.npy...        share of equal entries with the first
"""
import argparse
import json

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what")
parser.add_argument("--x")
parser.add_argument("results", nargs="+")
a = parser.parse_args()


def inertia(x, labels):
    """sum |x|^2 - sum over clusters of |sum of its rows|^2 / size"""
    sums = np.zeros((int(labels.max()) + 1, x.shape[1]))
    total = 0.0
    for first in range(0, len(x), 4096):
        rows = x[first : first + 4096].astype(np.float64)
        total += float((rows**2).sum())
        np.add.at(sums, labels[first : first + 4096], rows)
    sizes = np.maximum(np.bincount(labels, minlength=len(sums)), 1)
    return total - float(((sums**2).sum(1) / sizes).sum())


results = [np.load(path) for path in a.results]
if a.what == "inertia":
    x = np.load(a.x)
    print(json.dumps([inertia(x, labels) for labels in results]))
elif a.what == "order":
    x = np.load(a.x)

    def compare(ours, other):
        m = min(len(ours), len(other))
        parted = np.flatnonzero(ours[:m] != other[:m])
        if len(parted) == 0:
            return {"common": m}
        t = int(parted[0])
        centres = x[ours[:t]].astype(np.float64)
        far = [float(((centres - x[i].astype(np.float64)) ** 2).sum(1).min()) for i in (ours[t], other[t])]
        return {"common": t, "farther": (far[0] - far[1]) / far[1]}

    print(json.dumps([compare(results[0], each) for each in results]))
else:
    print(json.dumps([float((results[0] == each).mean()) for each in results]))
