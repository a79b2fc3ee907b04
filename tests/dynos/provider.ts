import type { Provider } from '../../src/local/dynos/addons/providers.ts';

/** Our add-on as the local platform offers it. Where it answers (`baseUrl`) is known only when both sides run. */
export function lineD(): Provider {
  return {
    id: 'line-d',
    name: 'line^d',
    password: 'super-secret-password',
    ssoSalt: '2f97bfa52ca102f8874716e2eb1d3b4920ad0be4',
    clientSecret: 'oauth-client-secret',
    prefix: 'LD',
    configVars: ['LD_AWS_ACCESS_KEY_ID', 'LD_AWS_SECRET_ACCESS_KEY', 'LD_AWS_SESSION_TOKEN', 'LD_REGION', 'LD_S3_BUCKET'],
    requires: [],
    baseUrl: '',
    ssoUrl: undefined,
    plans: [
      { name: 'free', humanName: 'Free', description: '', cents: 0, default: true },
      { name: 'basic', humanName: 'Basic', description: '', cents: 1_500, default: false },
    ],
    permissions: new Set(['dynos']),
  };
}
