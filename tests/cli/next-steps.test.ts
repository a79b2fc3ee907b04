import { expect, it } from 'vitest';
import { nextSteps } from '../../src/cli/next-steps.ts';

const clone = '/home/me/autofiles';
const exampleApp = `${clone}/examples/node-starter`;
const of = (app: string, cwd: string) => nextSteps({ app, exampleApp, clone, cwd, envFile: `${app}/.autofiles/env` });

it('names npx only in the clone, for the app that its commands find there', () => {
  expect(of(exampleApp, clone)).toEqual([
    'Next: `npx autofiles put FILE --workflow WORKFLOW.json --wait` saves a file with a workflow attached and shows its run.',
    '      `npx autofiles runs` lists what has run; `npx autofiles runs:info ID` shows one run.',
    `      \`set -a; . ${exampleApp}/.autofiles/env\` gives any S3 client (boto3, aws s3 …) the bucket. Ctrl-C stops all of it.`,
  ]);
});

it('names the program by its path elsewhere, and the app where it is another one', () => {
  expect(of(exampleApp, '/home/me')[1]).toContain(`\`node ${clone}/bin/autofiles.mjs runs\``);
  expect(of("/home/me/it's mine", clone)[1]).toContain(`\`node ${clone}/bin/autofiles.mjs runs --app '/home/me/it'\\''s mine'\``);
});
