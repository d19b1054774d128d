"""Writes pairs-CODEC.parquet and texts.parquet: the rows of pairs.jsonl, in two row groups, under each compression that pyarrow writes.

Version that wrote the stored files: pyarrow 25.0.1, Python 3.11. No third-party content.

    python make_parquet_golden.py
"""
import json
import pathlib

import pyarrow
import pyarrow.parquet

HERE = pathlib.Path(__file__).parent
ROWS = [
    {"prompt": f"Question {i}?", "chosen": f"kind answer {i} é日🙂", "rejected": None if i == 3 else f"rude answer {i}",
     "prompt_ids": [i, i + 1, 2**31 - 1], "toxicity": i / 8, "id": i}
    for i in range(6)
]

with open(HERE / "pairs.jsonl", "w", encoding="utf-8") as out:
    for row in ROWS:
        out.write(json.dumps({k: v for k, v in row.items() if k != "prompt_ids"}, ensure_ascii=False) + "\n")
table = pyarrow.Table.from_pylist([{k: v for k, v in row.items() if k != "prompt_ids"} for row in ROWS])
for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
    pyarrow.parquet.write_table(table, HERE / f"pairs-{codec}.parquet", compression=codec, row_group_size=4)
ids = pyarrow.Table.from_pylist([{"prompt_ids": row["prompt_ids"], "completion_ids": [7, 8]} for row in ROWS])
pyarrow.parquet.write_table(ids, HERE / "ids.parquet")
texts = pyarrow.Table.from_pylist([{"text": ""}, {"text": " = Title = \n"}, {"text": ""}, {"text": " Words . \n"}])
pyarrow.parquet.write_table(texts, HERE / "texts.parquet")
