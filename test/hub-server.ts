import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubRepository {
  /** Content of each file; those in `large` are stored elsewhere, as LFS files are */
  files: Record<string, string | Buffer>;
  large?: readonly string[];
  gated?: boolean;
  commit?: string;
  /** Answers with this status instead */
  status?: number;
  /** File names that the description lists beside the real ones */
  listed?: readonly string[];
  /** Hash that is stated instead of the true one */
  statedHash?: string;
}

/** A Hub on loopback, and a second server of another origin that holds large files, as the real one's storage does. */
export class HubServer {
  readonly repositories: Map<string, HubRepository> = new Map();
  /** `METHOD path` of every request in order; those to the storage begin with `storage` */
  readonly requests: string[] = [];
  readonly ranges: (string | undefined)[] = [];
  readonly tokens: { readonly hub: (string | undefined)[]; readonly storage: (string | undefined)[] } = { hub: [], storage: [] };
  /** The next so many contents end after `cutAt` bytes */
  cuts = 0;
  cutAt = 0;
  /** The next so many requests are answered with 503 */
  failures = 0;
  /** Ignore ranges: every transfer begins at the start */
  noRanges = false;
  /** Contents come so slowly that they can be aborted */
  slow = false;
  readonly #hub: Server = createServer((request, response) => this.#answer(request, response));
  readonly #storage: Server = createServer((request, response) => this.#store(request, response));

  async listen(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  }

  async close(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  }

  get endpoint(): string {
    return address(this.#hub);
  }

  reset(): void {
    this.requests.length = 0;
    this.ranges.length = 0;
    this.tokens.hub.length = 0;
    this.tokens.storage.length = 0;
    this.cuts = 0;
    this.failures = 0;
    this.noRanges = false;
    this.slow = false;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://hub');
    this.requests.push(`${request.method} ${url.pathname}`);
    this.tokens.hub.push(request.headers.authorization);
    if (this.failures > 0) {
      this.failures--;
      response.writeHead(503).end();
      return;
    }
    const api = /^\/api\/(models|datasets)\/(.+)\/revision\/([^/]+)$/.exec(url.pathname);
    const file = /^\/(datasets\/)?(.+?)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname);
    const key = api ? `${api[1] === 'datasets' ? 'datasets/' : ''}${api[2]}` : `${file?.[1] ?? ''}${file?.[2]}`;
    const repository = this.repositories.get(key);
    if (!repository || (repository.gated && request.headers.authorization !== 'Bearer good')) {
      const code = repository ? 'GatedRepo' : 'RepoNotFound';
      response.writeHead(repository ? (request.headers.authorization ? 403 : 401) : 404, { 'x-error-code': code }).end();
      return;
    }
    if (repository.status !== undefined) {
      response.writeHead(repository.status, repository.status === 307 ? { location: url.pathname } : {}).end();
      return;
    }
    const commit = repository.commit ?? commitOf(repository);
    if (api) {
      const revision = decodeURIComponent(api[3] as string);
      if (revision !== 'main' && revision !== commit) {
        response.writeHead(404, { 'x-error-code': 'RevisionNotFound' }).end();
        return;
      }
      const siblings = [...Object.keys(repository.files), ...(repository.listed ?? [])].map((rfilename) => ({ rfilename }));
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ sha: commit, siblings }));
      return;
    }
    const name = decodeURIComponent(file?.[4] ?? '');
    const content = repository.files[name];
    if (content === undefined) {
      response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
      return;
    }
    const bytes = Buffer.from(content);
    const headers: Record<string, string> = { 'x-repo-commit': commit };
    if (repository.large?.includes(name) === true) {
      headers['x-linked-etag'] = `"${repository.statedHash ?? createHash('sha256').update(bytes).digest('hex')}"`;
      headers['x-linked-size'] = String(bytes.length);
      headers['location'] = `${address(this.#storage)}/${encodeURIComponent(key)}/${encodeURIComponent(name)}`;
      response.writeHead(302, headers).end();
      return;
    }
    headers['etag'] = `W/"${repository.statedHash ?? gitHash(bytes)}"`;
    this.#send(request, response, bytes, headers);
  }

  #store(request: IncomingMessage, response: ServerResponse): void {
    const [, key = '', name = ''] = (request.url ?? '').split('/');
    this.requests.push(`storage ${request.method} ${decodeURIComponent(name)}`);
    this.tokens.storage.push(request.headers.authorization);
    const content = this.repositories.get(decodeURIComponent(key))?.files[decodeURIComponent(name)];
    this.#send(request, response, Buffer.from(content ?? ''), {});
  }

  #send(request: IncomingMessage, response: ServerResponse, bytes: Buffer, headers: Record<string, string>): void {
    const range = this.noRanges ? undefined : /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const start = range ? Number(range[1]) : 0;
    const part = bytes.subarray(start);
    response.writeHead(range ? 206 : 200, {
      ...headers,
      'content-length': String(part.length),
      ...(range ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    this.ranges.push(request.headers.range);
    if (this.slow) {
      response.write(part.subarray(0, 1));
      return;
    }
    if (this.cuts > 0 && part.length > this.cutAt) {
      this.cuts--;
      response.write(part.subarray(0, this.cutAt), () => setTimeout(() => response.socket?.destroy(), 20));
      return;
    }
    response.end(part);
  }
}

export function gitHash(bytes: Buffer): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}

/** A commit that changes with the files. */
export function commitOf(repository: HubRepository): string {
  const hash = createHash('sha1');
  for (const [name, content] of Object.entries(repository.files)) hash.update(name).update(content);
  return hash.digest('hex');
}

function address(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
