// An HTTP service that selects: POST /select { embeddings: [[...], ...], budget: 100, method: "k-center", seed: 1 }.
// A client that goes away stops its work within about 50 ms; requests take turns in the engine and never block the event loop.
//
//   node examples/http-service.mjs 8080
import { createServer } from 'node:http';
import { kCenter, MendsetError, matrix, random, saps, selectIndices } from 'mendset';

const METHODS = { 'k-center': () => kCenter({ space: 'raw' }), saps: () => saps(), random: () => random() };
const MOST_BYTES = 256 * 2 ** 20;

async function readJson(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw new MendsetError('invalid-argument', `Expected at most ${MOST_BYTES} bytes.`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new MendsetError('invalid-data', 'Expected a JSON document.');
  }
}

async function answer(request, signal) {
  const { embeddings = [], budget, method = 'k-center', seed = 0 } = await readJson(request);
  const columns = embeddings[0]?.length ?? 0;
  if (!Object.hasOwn(METHODS, method))
    throw new MendsetError('invalid-argument', `Expected one of ${Object.keys(METHODS).join(', ')} for method.`);
  if (!embeddings.every((row) => row.length === columns)) throw new MendsetError('invalid-data', 'Expected rows of equal length.');
  const features = { embeddings: matrix(Float32Array.from(embeddings.flat()), embeddings.length, columns) };
  console.error(`selecting ${budget} of ${embeddings.length}`);
  const { indices, timings } = await selectIndices(
    METHODS[method](),
    { n: embeddings.length, budget: { count: budget }, seed, features },
    { signal },
  );
  return { indices: [...indices], timings };
}

const server = createServer(async (request, response) => {
  const controller = new AbortController();
  response.on('close', () => controller.abort());
  const send = (status, document) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(document));
  try {
    if (request.method !== 'POST' || request.url !== '/select') return send(404, { error: 'POST /select' });
    send(200, await answer(request, controller.signal));
  } catch (error) {
    if (controller.signal.aborted) return console.error('client gone: aborted');
    const mistake = error instanceof MendsetError && error.code !== 'internal';
    send(mistake ? 400 : 500, { error: error.message, code: error.code });
  }
});
server.listen(Number(process.argv[2] ?? 8080), '127.0.0.1', () => console.error(`listening on ${server.address().port}`));
process.on('SIGTERM', () => server.close());
