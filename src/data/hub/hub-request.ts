import { setTimeout as wait } from 'node:timers/promises';

import { MendsetError } from '../../core/errors.ts';
import { throwIfAborted } from '../../core/run-options.ts';
import type { HubEnvironment } from './hub-environment.ts';
import type { HubName } from './hub-name.ts';

export interface HubRequest {
  readonly name: HubName;
  readonly environment: HubEnvironment;
  readonly signal?: AbortSignal | undefined;
  /** Before the second attempt; doubles for each further one */
  readonly retryMs: number;
}

export interface RequestOptions {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  /** Where a redirect to another host is an answer, not a way */
  readonly stopAtOtherHost?: boolean;
  /** What is asked for, for messages: `the repository`, or a file name */
  readonly what: string;
}

const attempts = 4;
const mostRedirects = 8;

/**
 * One request with redirects and retries (connection lost, 408, 429, 5xx). The token goes to the endpoint's own origin and to no
 * other. Resolves for 2xx, 206 and 416, and for a redirect that was not to be followed; every other status is one sentence.
 */
export async function hubRequest(request: HubRequest, url: string, options: RequestOptions): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    let response: Response;
    try {
      response = await follow(request, url, options);
    } catch (error) {
      throwIfAborted(request.signal);
      if (error instanceof MendsetError) throw error;
      if (attempt < attempts) {
        await pause(request, attempt);
        continue;
      }
      throw new MendsetError(
        'io',
        `${describe(request, options.what)} could not be fetched from ${request.environment.endpoint} (${causeOf(error)}): check the connection, or set HF_HUB_OFFLINE=1 to use what the cache holds.`,
        { cause: error },
      );
    }
    const { status } = response;
    if (response.ok || status === 416 || (status >= 300 && status < 400)) return response;
    await response.body?.cancel().catch(() => undefined);
    if ((status === 408 || status === 429 || status >= 500) && attempt < attempts) {
      await pause(request, attempt, Number(response.headers.get('retry-after')));
      continue;
    }
    throw refusal(request, response, options.what);
  }
}

async function follow(request: HubRequest, url: string, options: RequestOptions): Promise<Response> {
  const own = new URL(request.environment.endpoint);
  let at = new URL(url);
  for (let hops = 0; hops <= mostRedirects; hops++) {
    const { token } = request.environment;
    const response = await fetch(at, {
      method: options.method ?? 'GET',
      redirect: 'manual',
      headers: {
        'user-agent': 'mendset',
        // Lengths and ranges are those of the file, not of a packed form
        'accept-encoding': 'identity',
        ...options.headers,
        ...(token !== null && at.origin === own.origin ? { authorization: `Bearer ${token}` } : {}),
      },
      ...(request.signal ? { signal: request.signal } : {}),
    });
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    const next = new URL(location, at);
    if (options.stopAtOtherHost === true && next.origin !== own.origin) return response;
    await response.body?.cancel().catch(() => undefined);
    if (next.protocol !== 'https:' && !(next.protocol === 'http:' && own.protocol === 'http:')) {
      throw new MendsetError(
        'io',
        `${describe(request, options.what)} was redirected to ${next.protocol}//${next.host}, which is not https; nothing was fetched from there.`,
      );
    }
    at = next;
  }
  throw new MendsetError(
    'io',
    `${describe(request, options.what)} was redirected more than ${mostRedirects} times; the server is misconfigured.`,
  );
}

async function pause(request: HubRequest, attempt: number, seconds = 0): Promise<void> {
  const asked = Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 30) * 1000 : 0;
  await wait(Math.max(asked, request.retryMs * 2 ** (attempt - 1)), undefined, request.signal ? { signal: request.signal } : {}).catch(() =>
    throwIfAborted(request.signal),
  );
}

function refusal(request: HubRequest, response: Response, what: string): MendsetError {
  const { name, environment } = request;
  const { status } = response;
  const code = response.headers.get('x-error-code') ?? '';
  const page = `${environment.endpoint}/${name.kind === 'dataset' ? 'datasets/' : ''}${name.repository}`;
  const subject = describe(request, what);
  if (code === 'GatedRepo') {
    return new MendsetError(
      'invalid-argument',
      environment.token === null
        ? `${subject} is gated: accept its conditions at ${page} and set HF_TOKEN to a token of that account.`
        : `${subject} is gated and the account of HF_TOKEN has no access: accept its conditions at ${page}.`,
    );
  }
  if (status === 401 || status === 403) {
    return new MendsetError(
      'invalid-argument',
      environment.token === null
        ? `${subject} does not exist or is private (status ${status}): check the name, or set HF_TOKEN to a token that may read it.`
        : `${subject} may not be read with the token in HF_TOKEN (status ${status}): check the name and what the token may do.`,
    );
  }
  if (status === 404) {
    const missing =
      code === 'RevisionNotFound' ? `has no revision '${name.revision}'` : code === 'EntryNotFound' ? `is not there` : 'does not exist';
    return new MendsetError('not-found', `${subject} ${missing}: check the name at ${page}.`);
  }
  if (status === 429)
    return new MendsetError('io', `${subject} was refused because of too many requests (status 429): wait a while, or set HF_TOKEN.`);
  if (status >= 500)
    return new MendsetError(
      'io',
      `${subject} could not be fetched because ${environment.endpoint} fails (status ${status}): try again later.`,
    );
  return new MendsetError('io', `${subject} could not be fetched from ${environment.endpoint} (status ${status}).`);
}

/** The repository, or a file in it, for messages. */
export function describe({ name }: Pick<HubRequest, 'name'>, what: string): string {
  const repository = `hf:${name.kind === 'dataset' ? 'datasets/' : ''}${name.repository}${name.revision === 'main' ? '' : `@${name.revision}`}`;
  return what === 'the repository' ? repository : `'${what}' of ${repository}`;
}

/** undici hides the reason of a failed fetch in its cause. */
function causeOf(error: unknown): string {
  const cause = (error as { cause?: unknown }).cause;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return code ?? (cause instanceof Error ? cause.message : error instanceof Error ? error.message : String(error));
}
