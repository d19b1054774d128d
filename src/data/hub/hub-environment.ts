import { homedir } from 'node:os';
import { join } from 'node:path';

import { MendsetError } from '../../core/errors.ts';

/** What the environment says about the Hub: the same variables as the Python library's. */
export interface HubEnvironment {
  /** Without a slash at the end */
  readonly endpoint: string;
  readonly token: string | null;
  readonly cache: string;
  readonly offline: boolean;
}

export function hubEnvironment(env: Readonly<Record<string, string | undefined>> = process.env): HubEnvironment {
  const given = (name: string): string | undefined => (env[name]?.trim() ? env[name]?.trim() : undefined);
  const endpoint = (given('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, '');
  let protocol: string;
  try {
    protocol = new URL(endpoint).protocol;
  } catch (error) {
    throw new MendsetError('invalid-config', `Expected an address such as https://huggingface.co in HF_ENDPOINT but found '${endpoint}'.`, {
      cause: error,
    });
  }
  if (protocol !== 'https:' && protocol !== 'http:')
    throw new MendsetError('invalid-config', `Expected an http or https address in HF_ENDPOINT but found '${endpoint}'.`);
  const home = given('HF_HOME') ?? join(given('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  return {
    endpoint,
    token: given('HF_TOKEN') ?? null,
    cache: given('HF_HUB_CACHE') ?? given('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub'),
    offline: /^(1|true|yes|on)$/i.test(given('HF_HUB_OFFLINE') ?? ''),
  };
}
