// Makes prebuilds/<platform>-<arch>/ with prebuildify and node-gyp, from the headers of the running Node (nothing is downloaded).
// node-gyp empties build/ first: `npm run build` brings the development build back.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const prefix = dirname(dirname(process.execPath));
if (!existsSync(join(prefix, 'include', 'node', 'common.gypi'))) {
  console.error(
    `mendset: expected Node's headers in ${join(prefix, 'include', 'node')} but found none. Use a Node from nodejs.org, or set npm_config_nodedir to a folder that has include/node.`,
  );
  process.exit(2);
}
const result = spawnSync(join(root, 'node_modules', '.bin', 'prebuildify'), ['--napi', '--strip', '--tag-libc'], {
  cwd: root,
  stdio: 'inherit',
  env: {
    ...process.env,
    npm_config_nodedir: process.env.npm_config_nodedir ?? prefix,
    PREBUILD_NODE_GYP: join(root, 'node_modules', '.bin', 'node-gyp'),
  },
});
process.exit(result.status ?? 1);
