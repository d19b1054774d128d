import papaparse from 'papaparse';

import { MendsetError } from '../core/errors.ts';
import { readBytes } from '../core/files.ts';

/** One toxic sentence and the neutral paraphrases people wrote for it. */
export interface ParaDetoxRow {
  readonly toxic: string;
  /** non-empty, 1 to 3 */
  readonly neutrals: readonly string[];
  /** `file:record`, the header being record 1: quoted fields hold line breaks, so records are not lines */
  readonly source: string;
}

/** Reads the ParaDetox table (tab-separated, quoted fields, header `toxic neutral1 neutral2 neutral3`). */
export async function readParaDetox(path: string): Promise<ParaDetoxRow[]> {
  const text = (await readBytes(path)).toString('utf8').replace(/^\ufeff/, '');
  const parsed = papaparse.parse<string[]>(text, { delimiter: '\t', skipEmptyLines: true });
  const header = parsed.data[0] ?? [];
  if (header[0]?.trim() !== 'toxic' || !header[1]?.trim().startsWith('neutral')) {
    throw new MendsetError(
      'invalid-data',
      `${path}:1: expected the header toxic, neutral1, neutral2, neutral3 separated by tabs but found ${header.length} other columns.`,
    );
  }
  const [mistake] = parsed.errors;
  if (mistake !== undefined) {
    throw new MendsetError(
      'invalid-data',
      `${path}:${(mistake.row ?? 0) + 1}: expected tab-separated fields but ${mistake.message.toLowerCase()}; quote fields that hold tabs, quotes or line breaks.`,
    );
  }
  return parsed.data.slice(1).map((fields, i) => ({
    toxic: fields[0] ?? '',
    neutrals: fields.slice(1, 4).filter((neutral) => neutral.trim() !== ''),
    source: `${path}:${i + 2}`,
  }));
}
