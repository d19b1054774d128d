/**
 * A small judge of JSON Schema (the keywords that mendset's schema uses), written apart from the product, so that a test can ask
 * whether an editor would accept what the checker accepts. Throws for a keyword it does not know.
 */
export function accepts(schema: Record<string, unknown>, value: unknown): boolean {
  return Object.entries(schema).every(([keyword, rule]) => {
    const judge = KEYWORDS[keyword];
    if (!judge) throw new Error(`the judge does not know the keyword ${keyword}`);
    return judge(rule, value, schema);
  });
}

// biome-ignore lint/suspicious/noExplicitAny: each keyword has a rule of its own type
type Judge = (rule: any, value: unknown, schema: Record<string, unknown>) => boolean;
const isObject = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v);
const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
const silent: Judge = () => true;

const TYPES: Record<string, (v: unknown) => boolean> = {
  object: isObject,
  array: Array.isArray,
  string: (v) => typeof v === 'string',
  boolean: (v) => typeof v === 'boolean',
  null: (v) => v === null,
  number: (v) => typeof v === 'number' && Number.isFinite(v),
  integer: (v) => typeof v === 'number' && Number.isInteger(v),
};

const KEYWORDS: Record<string, Judge> = {
  $schema: silent,
  title: silent,
  description: silent,
  default: silent,
  type: (rule: string, v) => (TYPES[rule] as (v: unknown) => boolean)(v),
  enum: (rule: unknown[], v) => rule.some((r) => same(r, v)),
  const: (rule: unknown, v) => same(rule, v),
  anyOf: (rule: Record<string, unknown>[], v) => rule.some((r) => accepts(r, v)),
  minimum: (rule: number, v) => typeof v !== 'number' || v >= rule,
  exclusiveMinimum: (rule: number, v) => typeof v !== 'number' || v > rule,
  maximum: (rule: number, v) => typeof v !== 'number' || v <= rule,
  pattern: (rule: string, v) => typeof v !== 'string' || new RegExp(rule).test(v),
  properties: (rule: Record<string, Record<string, unknown>>, v) =>
    !isObject(v) || Object.entries(rule).every(([key, r]) => !Object.hasOwn(v, key) || accepts(r, v[key])),
  required: (rule: string[], v) => !isObject(v) || rule.every((key) => Object.hasOwn(v, key)),
  additionalProperties: (rule: false, v, schema) =>
    rule !== false || !isObject(v) || Object.keys(v).every((key) => Object.hasOwn((schema['properties'] ?? {}) as object, key)),
  minProperties: (rule: number, v) => !isObject(v) || Object.keys(v).length >= rule,
  maxProperties: (rule: number, v) => !isObject(v) || Object.keys(v).length <= rule,
  items: (rule: Record<string, unknown>, v) => !Array.isArray(v) || v.every((item) => accepts(rule, item)),
  minItems: (rule: number, v) => !Array.isArray(v) || v.length >= rule,
  uniqueItems: (rule: boolean, v) => !rule || !Array.isArray(v) || new Set(v.map((item) => JSON.stringify(item))).size === v.length,
};
