// Writes assets/study.schema.json, the JSON Schema of study files, from the checker's own rules (dist must be built).
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { studyJsonSchema } from '../dist/study/study-schema.js';

await writeFile(join(import.meta.dirname, '..', 'assets', 'study.schema.json'), `${JSON.stringify(studyJsonSchema(), null, 2)}\n`);
