import { delimiter } from 'node:path';

/** What the environment of a dyno is made of. `userPath` is the user's own PATH; nothing else of the platform's environment is known here. */
export interface EnvironmentParts {
  configVars: Readonly<Record<string, string>>;
  callEnv: Readonly<Record<string, string>>;
  userPath: string;
  lang: string;
  home: string;
  port: number;
  app: { id: string; name: string };
  dyno: { id: string; name: string };
  release: { version: number; createdAt: number };
}

/**
 * The whole environment of a dyno: config vars, over them the call's own variables, over them those that Heroku itself sets (heroku.md 4.4: DYNO, HOME, PORT;
 * PWD and SHLVL come from the shell; HEROKU_* as with the lab `runtime-dyno-metadata`). PATH and LANG are defaults that a config var may replace.
 */
export function dynoEnvironment(parts: EnvironmentParts): Record<string, string> {
  const { app, dyno, release } = parts;
  return {
    PATH: withoutPackageBins(parts.userPath),
    LANG: parts.lang,
    ...parts.configVars,
    ...parts.callEnv,
    DYNO: dyno.name,
    HOME: parts.home,
    PORT: String(parts.port),
    HEROKU_APP_ID: app.id,
    HEROKU_APP_NAME: app.name,
    HEROKU_DYNO_ID: dyno.id,
    HEROKU_RELEASE_CREATED_AT: new Date(release.createdAt).toISOString(),
    HEROKU_RELEASE_VERSION: `v${release.version}`,
  };
}

/** The PATH without the folders that npm puts in front for the project's own tools (`node_modules/.bin`, npm's `node-gyp-bin`): they are the platform's, not the user's. */
export function withoutPackageBins(path: string): string {
  return path
    .split(delimiter)
    .filter((folder) => folder !== '' && !/[\\/]node_modules[\\/]\.bin[\\/]?$/.test(folder) && !/[\\/]node-gyp-bin[\\/]?$/.test(folder))
    .join(delimiter);
}
