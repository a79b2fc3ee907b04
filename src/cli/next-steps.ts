import { join, resolve } from 'node:path';
import { shellWord } from './env-format.ts';

/**
 * What can be typed while the local cloud runs, for somebody in any folder. `clone`: where this project is; `cwd`: where the start was typed. `npx autofiles` is right in
 * the clone alone: elsewhere npx fetches a package of that name from the registry, whoever has it there.
 */
export function nextSteps(at: { app: string; exampleApp: string; clone: string; cwd: string; envFile: string }): string[] {
  const [app, clone] = [resolve(at.app), resolve(at.clone)];
  const example = app === resolve(at.exampleApp);
  const autofiles = example && resolve(at.cwd) === clone ? 'npx autofiles' : `node ${shellWord(join(clone, 'bin', 'autofiles.mjs'))}`;
  const ofApp = example ? '' : ` --app ${shellWord(app)}`;
  return [
    `Next: \`${autofiles} put FILE --workflow WORKFLOW.json --wait${ofApp}\` saves a file with a workflow attached and shows its run.`,
    `      \`${autofiles} runs${ofApp}\` lists what has run; \`${autofiles} runs:info ID${ofApp}\` shows one run.`,
    `      \`set -a; . ${shellWord(at.envFile)}\` gives any S3 client (boto3, aws s3 …) the bucket. Ctrl-C stops all of it.`,
  ];
}
