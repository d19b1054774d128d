/** One toxic sentence and the neutral paraphrases people wrote for it. */
export interface ParaDetoxRow {
  readonly toxic: string;
  /** non-empty, 1 to 3 */
  readonly neutrals: readonly string[];
}

/** A row of the ParaDetox table (header `toxic neutral1 neutral2 neutral3`); null for any other row. */
export function paraDetoxFields(row: Readonly<Record<string, unknown>>): ParaDetoxRow | null {
  if (!('toxic' in row) || !('neutral1' in row)) return null;
  const neutrals = [row['neutral1'], row['neutral2'], row['neutral3']];
  return {
    toxic: typeof row['toxic'] === 'string' ? row['toxic'] : '',
    neutrals: neutrals.filter((neutral): neutral is string => typeof neutral === 'string' && neutral.trim() !== ''),
  };
}
