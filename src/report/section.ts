/** One part of the page; an empty `body` leaves the part out. */
export interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: string;
}

export function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
