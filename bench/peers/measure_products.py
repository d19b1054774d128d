# Matrix products of other libraries on the shapes of linear maps: one JSON line {operation, us, gflops} for each, as the native
# benchmark of operations prints them. Products alone: no bias, no activation.
#   measure_products.py torch|openblas|blis --threads N [--library FILE]        operations on stdin, one per line
import argparse
import ctypes
import ctypes.util
import json
import os
import re
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("peer", choices=["torch", "openblas", "blis"])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--library", default=ctypes.util.find_library("blis"))
arguments = parser.parse_args()
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "BLIS_NUM_THREADS"):
    os.environ[name] = str(arguments.threads)  # read when the libraries are loaded

import numpy as np  # noqa: E402


def torch_product():
    import torch

    torch.set_num_threads(arguments.threads)

    def product(a, b, out):
        x, y, z = (torch.from_numpy(m) for m in (a, b, out))
        return lambda: torch.mm(x, y, out=z)

    return product, f"PyTorch {torch.__version__}"


def openblas_product():
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    if "openblas" not in blas["name"]:
        raise RuntimeError(f"Error: numpy is built with {blas['name']}, not OpenBLAS")
    return lambda a, b, out: (lambda: np.matmul(a, b, out=out)), f"OpenBLAS {blas['version']} of numpy {np.__version__}"


def blis_product():
    if arguments.library is None:
        raise RuntimeError("Error: libblis was not found; name it by --library")
    library = ctypes.CDLL(arguments.library)
    library.bli_info_get_version_str.restype = ctypes.c_char_p
    row_major, plain, transposed = 101, 111, 112

    def product(a, b, out):
        # a view with the strides of a transpose is handed over as its base
        def side(m):
            turned = m.strides[0] < m.strides[1]
            base = m.T if turned else m
            return (transposed if turned else plain), base.ctypes.data_as(ctypes.c_void_p), base.shape[1]

        turn_a, data_a, ld_a = side(a)
        turn_b, data_b, ld_b = side(b)
        call = (row_major, turn_a, turn_b, out.shape[0], out.shape[1], a.shape[1], ctypes.c_float(1), data_a, ld_a, data_b, ld_b)
        rest = (ctypes.c_float(0), out.ctypes.data_as(ctypes.c_void_p), out.shape[1])
        return lambda: library.cblas_sgemm(*call, *rest)

    return product, f"BLIS {library.bli_info_get_version_str().decode()}"


def operands(kind, rows, inputs, outputs, layout):
    random = np.random.default_rng(1)
    x, d_y, w = (
        random.standard_normal(shape, dtype=np.float32)
        for shape in ((rows, inputs), (rows, outputs), (inputs, outputs) if layout == "in_out" else (outputs, inputs))
    )
    weights = w if layout == "in_out" else w.T
    if kind == "forward":
        return x, weights
    if kind == "backward_input":
        return d_y, weights.T
    return (x.T, d_y) if layout == "in_out" else (d_y.T, x)


def seconds_of(run):
    run()
    run()
    each = []
    end = time.perf_counter() + 0.25
    while time.perf_counter() < end or len(each) < 3:
        start = time.perf_counter()
        run()
        each.append(time.perf_counter() - start)
    each.sort()
    return each[len(each) // 2]


product_of, version = {"torch": torch_product, "openblas": openblas_product, "blis": blis_product}[arguments.peer]()
for line in sys.stdin.read().split("\n"):
    match = re.fullmatch(r"linear_(forward|backward_input|backward_weight) (\d+)x(\d+)x(\d+) (in_out|out_in)( gelu)?", line)
    if match is None:
        continue
    rows, inputs, outputs = (int(match[i]) for i in (2, 3, 4))
    a, b = operands(match[1], rows, inputs, outputs, match[5])
    out = np.empty((a.shape[0], b.shape[1]), np.float32)
    run = product_of(a, b, out)
    run()
    expected = np.matmul(a[:2], b)
    if not np.allclose(out[:2], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()):
        raise RuntimeError(f"Error: {arguments.peer} computes something else on {line}")
    seconds = seconds_of(run)
    print(json.dumps({"operation": line, "us": seconds * 1e6, "gflops": 2 * rows * inputs * outputs / seconds / 1e9, "version": version}))
