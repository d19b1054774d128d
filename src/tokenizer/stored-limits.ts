import type { IdList } from './id-list.ts';
import { asObject, type Json } from './tokenizer-json.ts';

/** Truncation and padding that a tokenizer.json carries. They are left aside unless the caller asks for them. */
export interface StoredLimits {
  readonly maxLength: number | null;
  /** true: the start of a text is cut, not its end */
  readonly cutsStart: boolean;
  /** Fills up to the stored fixed length; does nothing where none is stored */
  pad(ids: IdList): void;
}

export function parseStoredLimits(root: Json, path: string): StoredLimits {
  const truncation = root['truncation'] ? asObject(root['truncation'], path, '`truncation`') : {};
  const padding = root['padding'] ? asObject(root['padding'], path, '`padding`') : {};
  const strategy = padding['strategy'];
  const fixed = typeof strategy === 'object' && strategy !== null ? Number((strategy as Json)['Fixed'] ?? 0) : 0;
  const multiple = Number(padding['pad_to_multiple_of'] ?? 0) || 1;
  const length = Math.ceil(fixed / multiple) * multiple;
  const id = Number(padding['pad_id'] ?? 0);
  return {
    maxLength: typeof truncation['max_length'] === 'number' ? truncation['max_length'] : null,
    cutsStart: truncation['direction'] === 'Left',
    pad(ids) {
      if (padding['direction'] === 'Left') {
        if (ids.length < length) ids.fillBefore(length, id);
      } else while (ids.length < length) ids.append(id);
    },
  };
}
