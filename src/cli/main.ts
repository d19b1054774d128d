#!/usr/bin/env node
import { processIo } from './io.ts';
import { runCli } from './run-cli.ts';

// A reader that closes the pipe early (head) is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
// The same for messages: the work goes on, unheard.
process.stderr.on('error', () => undefined);
process.exitCode = await runCli(process.argv.slice(2), processIo());
