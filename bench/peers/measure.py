"""One measurement of one peer, in a process of its own: prints one JSON line.

    python measure.py WORK PEER --x X.npy [--start C.npy] [--k K] [--iterations I] [--threads T] [--save RESULT.npy]

WORK: k-means (PEER sklearn, faiss, superkmeans), k-center (numpy, torch), saps (sklearn), random (numpy), ccs (numpy), neighbours (sklearn,
faiss). `seconds` is the work alone: imports, loading and a warm-up on a small part come before. `foreign` is the number of cores that
other processes kept busy meanwhile (Linux). A peer that is absent prints {"skipped": why}.
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
parser.add_argument("--x", required=True)
parser.add_argument("--start")
parser.add_argument("--k", type=int, default=0)
parser.add_argument("--iterations", type=int, default=10)
parser.add_argument("--budget", type=int, default=0)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--save")
a = parser.parse_args()
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(a.threads)

import numpy as np  # noqa: E402  (threads must be set first)

WARM = 2048  # rows of the warm-up


def kernels():
    """What this process's libraries chose for its processor, in words: the instruction sets that the measurement really ran on."""
    found = []
    try:
        from threadpoolctl import threadpool_info

        found += sorted({f"{each['internal_api']} {each['version']} {each['architecture']}" for each in threadpool_info() if each["user_api"] == "blas"})
    except ImportError:
        pass
    if "faiss" in sys.modules:
        faiss = sys.modules["faiss"]
        level = faiss.SIMDConfig.get_level_name() if hasattr(faiss, "SIMDConfig") else faiss.get_compile_options().strip()
        found.append(f"faiss {level}")
    if "torch" in sys.modules:
        found.append(f"torch {sys.modules['torch'].backends.cpu.get_cpu_capability()}")
    return ", ".join(found)


def machine_busy():
    """Seconds of processor time that the machine has spent, or None."""
    try:
        with open("/proc/stat") as file:
            fields = [int(v) for v in file.readline().split()[1:9]]
    except OSError:
        return None
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def own_busy():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def resident(name):
    """Bytes of this process by /proc/self/status: VmRSS now, VmHWM at most so far."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))


def forget_peak():
    """Forgets the peak so far; what the process holds now, or None where the system has no such switch."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return resident("VmRSS")
    except OSError:
        return None


def timed(work):
    before = forget_peak()
    machine, own, start = machine_busy(), own_busy(), time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    busy = own_busy() - own
    foreign = None if machine is None else max(0.0, machine_busy() - machine - busy) / max(seconds, 1e-9)
    rise = None if before is None else max(0, resident("VmHWM") - before)
    return result, {"seconds": seconds, "processorSeconds": busy, "foreign": foreign, "workBytes": rise}


REPEATED_SECONDS = 2
MOST_RUNS = 15


def timed_repeatedly(work):
    """As `timedRepeatedly` of processor-time.mjs: short work again and again, the median of the later half of the runs."""
    result, first = timed(work)
    if first["seconds"] >= 0.5:
        return result, {**first, "runs": 1}
    runs, spent = [first], first["seconds"]
    while spent < REPEATED_SECONDS and len(runs) < MOST_RUNS:
        runs.append(timed(work)[1])
        spent += runs[-1]["seconds"]
    later = runs[len(runs) >> 1 :]

    def of(key):
        values = [run[key] for run in later]
        return None if None in values else statistics.median(values)

    return result, {**first, **{key: of(key) for key in ("seconds", "processorSeconds", "foreign")}, "runs": len(runs)}


def k_means(x, start):
    if a.peer == "sklearn":
        import sklearn
        from sklearn.cluster import KMeans

        def run(rows, centres, iterations):
            return KMeans(len(centres), init=centres, n_init=1, max_iter=iterations, tol=0, algorithm="lloyd").fit(rows)

        run(x[:WARM], start[:8], 2)
        model, report = timed_repeatedly(lambda: run(x, start, a.iterations))
        # scikit-learn assigns once more after its last update, unless it stopped because labels were stable
        report |= {"version": sklearn.__version__, "passes": model.n_iter_ + (1 if model.n_iter_ >= a.iterations else 0)}
        return model.labels_, report
    import faiss

    faiss.omp_set_num_threads(a.threads)
    if a.peer == "superkmeans":
        if not hasattr(faiss, "SuperKMeans"):
            return None, {"skipped": "this faiss has no SuperKMeans"}

        def run(rows, k, iterations):
            parameters = faiss.SuperKMeansParameters()
            parameters.niter, parameters.seed = iterations, 1
            parameters.max_points_per_centroid, parameters.min_points_per_centroid = 10**9, 1
            model = faiss.SuperKMeans(rows.shape[1], k, parameters)
            model.train(rows)
            return model

        # Needs a minimal width, chooses its own start and assigns by a statistical test: approximate.
        if x.shape[1] < 2 * faiss.SuperKMeansParameters().d_prime_min:
            return None, {"skipped": f"SuperKMeans needs more than {x.shape[1]} columns"}
        run(x[: 40 * 64], 64, 2)
        model, report = timed_repeatedly(lambda: run(x, len(start), a.iterations))
        index = faiss.IndexFlatL2(x.shape[1])
        index.add(faiss.vector_to_array(model.centroids).reshape(len(start), -1))
        return index.search(x, 1)[1].ravel().astype(np.int32), report | {"version": faiss.__version__, "passes": int(model.iteration_stats.size()), "approximate": True}

    def run(rows, centres, iterations):
        model = faiss.Clustering(rows.shape[1], len(centres))
        model.niter, model.max_points_per_centroid, model.min_points_per_centroid = iterations, 10**9, 1
        faiss.copy_array_to_vector(np.ascontiguousarray(centres).reshape(-1), model.centroids)
        index = faiss.IndexFlatL2(rows.shape[1])
        model.train(rows, index)
        index.reset()
        index.add(faiss.vector_to_array(model.centroids).reshape(len(centres), -1))
        return index.search(rows, 1)[1].ravel().astype(np.int32)

    run(x[:WARM], start[:8], 2)
    labels, report = timed_repeatedly(lambda: run(x, start, a.iterations))
    return labels, report | {"version": faiss.__version__, "passes": a.iterations + 1}


def k_center(x):
    """One pass over all rows for each centre: squared distances by one matrix-vector product, minimum, argmax. Row 0 comes first."""
    n, k = len(x), a.k
    # Beyond a thousand centres 300 are measured and the rest extrapolated: every centre costs the same pass.
    measured = k if k <= 1000 else 300
    if a.peer == "numpy":
        version = np.__version__

        def run(rows, count):
            lengths = np.einsum("ij,ij->i", rows, rows)
            least = np.full(len(rows), np.inf, np.float32)
            order = np.zeros(count, np.int32)
            for t in range(1, count):
                c = order[t - 1]
                np.minimum(least, np.maximum(lengths + lengths[c] - 2 * (rows @ rows[c]), 0), out=least)
                least[order[:t]] = -1
                order[t] = np.argmax(least)
            return order
    else:
        import torch

        torch.set_num_threads(a.threads)
        version = torch.__version__

        def run(rows, count):
            rows = torch.from_numpy(rows)
            lengths = (rows * rows).sum(1)
            least = torch.full((len(rows),), float("inf"))
            order = torch.zeros(count, dtype=torch.int64)
            for t in range(1, count):
                c = order[t - 1]
                torch.minimum(least, torch.addmv(lengths + lengths[c], rows, rows[c], alpha=-2).clamp_(min=0), out=least)
                least[order[:t]] = -1
                order[t] = torch.argmax(least)
            return order.numpy().astype(np.int32)

    run(x[:WARM], 8)
    order, report = timed_repeatedly(lambda: run(x, measured))
    if measured < k:
        report["seconds"] *= k / measured
        report["extrapolated"] = f"from {measured} centres"
    return order, report | {"version": version}


def saps(x):
    import sklearn
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    def run(rows, budget):
        points = PCA(min(50, len(rows) - 1)).fit_transform(rows)
        model = KMeans(10, n_init=4, max_iter=300, tol=0, random_state=1).fit(points)
        distance = np.linalg.norm(points - model.cluster_centers_[model.labels_], axis=1)
        members = [np.flatnonzero(model.labels_ == j) for j in range(10)]
        rest, quota = budget, {}
        for place, j in enumerate(sorted(range(10), key=lambda j: len(members[j]))):
            quota[j] = min(len(members[j]), rest // (10 - place))
            rest -= quota[j]
        return np.concatenate([m[np.argsort(-distance[m], kind="stable")[: quota[j]]] for j, m in enumerate(members)]), model.inertia_

    run(x[:WARM], 100)
    (chosen, inertia), report = timed_repeatedly(lambda: run(x, a.budget))
    return chosen, report | {"version": sklearn.__version__, "inertia": float(inertia)}


def random_choice(scores):
    source = np.random.default_rng(1)
    source.permutation(1000)
    chosen, report = timed_repeatedly(lambda: source.permutation(len(scores))[: a.budget])
    return chosen, report | {"version": np.__version__}


def ccs(scores):
    """Remove the share beta of the hardest, 50 equal-width strata, even quotas, a draw without replacement from each."""

    def run(values, budget, beta):
        source = np.random.default_rng(1)
        n = len(values)
        removed = int(beta * n)
        kept = np.argpartition(values, n - removed)[: n - removed] if removed else np.arange(n)
        part = values[kept]
        low, high = part.min(), part.max()
        stratum = np.minimum(((part - low) * (50 / (high - low))).astype(np.int64), 49)
        by_stratum = np.argsort(stratum.astype(np.uint8), kind="stable")
        ends = np.concatenate([[0], np.cumsum(np.bincount(stratum, minlength=50))])
        sizes = np.diff(ends)
        rest, chosen = budget, []
        for place, j in enumerate(np.argsort(sizes, kind="stable")):
            quota = min(sizes[j], rest // (50 - place))
            rest -= quota
            chosen.append(kept[source.permutation(by_stratum[ends[j] : ends[j + 1]])[:quota]])
        return np.concatenate(chosen)

    run(scores[:WARM], 100, 0.2)
    chosen, report = timed_repeatedly(lambda: run(scores, a.budget, 0.2))
    return chosen, report | {"version": np.__version__}


def neighbours(x):
    if a.peer == "sklearn":
        import sklearn
        from sklearn.neighbors import NearestNeighbors

        NearestNeighbors(n_neighbors=a.k, algorithm="brute").fit(x[:WARM]).kneighbors()
        found, report = timed_repeatedly(lambda: NearestNeighbors(n_neighbors=a.k, algorithm="brute").fit(x).kneighbors())
        return found[1].astype(np.int32), report | {"version": sklearn.__version__}
    import faiss

    faiss.omp_set_num_threads(a.threads)

    def run(rows):
        index = faiss.IndexFlatL2(rows.shape[1])
        index.add(rows)
        return index.search(rows, a.k + 1)[1]

    run(x[:WARM])
    found, report = timed_repeatedly(lambda: run(x))
    return found[:, 1:].astype(np.int32), report | {"version": faiss.__version__}


def main():
    x = np.load(a.x)
    try:
        if a.work == "k-means":
            result, report = k_means(x, np.load(a.start))
        else:
            result, report = {"k-center": k_center, "saps": saps, "random": random_choice, "ccs": ccs, "neighbours": neighbours}[a.work](x)
    except ImportError as error:
        result, report = None, {"skipped": str(error)}
    if a.save and result is not None:
        np.save(a.save, result)
    scale = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    print(json.dumps({"work": a.work, "peer": a.peer, "threads": a.threads, "peakBytes": peak, "kernels": kernels(), **report}))


if __name__ == "__main__":
    main()
