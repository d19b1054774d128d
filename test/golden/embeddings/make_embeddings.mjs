// Writes lists.parquet: 7 rows in two row groups, columns id (string) and embedding (lists of 3 floats, value row + column / 4).
// Made with hyparquet-writer 0.17.0; run where that package is installed: node make_embeddings.mjs lists.parquet
import { parquetWriteFile } from 'hyparquet-writer';

const rows = Array.from({ length: 7 }, (_, i) => i);
parquetWriteFile({
  filename: process.argv[2] ?? 'lists.parquet',
  rowGroupSize: 4,
  schema: [
    { name: 'root', num_children: 2 },
    { name: 'id', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
    { name: 'embedding', num_children: 1, converted_type: 'LIST', repetition_type: 'REQUIRED' },
    { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
    { name: 'element', type: 'FLOAT', repetition_type: 'REQUIRED' },
  ],
  columnData: [
    { name: 'id', data: rows.map((i) => `r${i}`) },
    { name: 'embedding', data: rows.map((i) => [0, 1, 2].map((p) => i + p / 4)) },
  ],
});
