/** One call of a provider with its add-on's token. */
export interface PartnerCall {
  method: string;
  path: string;
  addon: { id: string; name: string };
  permissions: ReadonlySet<string>;
}

type Rule = { methods: string; path: RegExp; permission?: string };

// What a partner may call without asking Heroku, and what Heroku adds on request (heroku.md 1.6).
const ownRules: Rule[] = [
  { methods: 'GET', path: /^$/ },
  { methods: 'GET', path: /^\/(sso|addon-attachments)$/ },
  { methods: 'GET PATCH', path: /^\/config$/ },
  { methods: 'POST', path: /^\/actions\/(provision|deprovision)$/ },
  { methods: 'GET POST PATCH DELETE', path: /^\/webhook(s|-deliveries|-events)(\/[^/]+)?$/ },
];
const rules: Rule[] = [
  { methods: 'GET', path: /^\/(addons|users\/[^/]+\/addons|apps|users\/[^/]+\/apps|account\/rate-limits)$/ },
  { methods: 'GET', path: /^\/apps\/[^/]+(\/(addons|addon-attachments(\/[^/]+)?|collaborators|domains|pipeline-couplings))?$/ },
  { methods: 'GET POST DELETE', path: /^\/apps\/[^/]+\/(dynos(\/.*)?|formations\/.*)$/, permission: 'dynos' },
  { methods: 'GET PATCH', path: /^\/apps\/[^/]+\/formation(\/[^/]+)?$/, permission: 'formation' },
  { methods: 'GET', path: /^\/apps\/[^/]+\/releases(\/[^/]+)?$/, permission: 'releases' },
  { methods: 'POST', path: /^\/apps\/[^/]+\/log-sessions$/, permission: 'logs' },
];

/** Whether a provider may make this call: its own add-on, what its app shows to partners, and what it was granted beyond that. */
export function partnerMay({ method, path, addon, permissions }: PartnerCall): boolean {
  const fits = ({ methods, permission }: Rule): boolean =>
    methods.split(' ').includes(method) && (permission === undefined || permissions.has(permission));
  const [, key, rest] = /^\/addons\/([^/]+)(.*)$/.exec(path) ?? [];
  if (key !== undefined)
    return (key === addon.id || key === addon.name) && ownRules.some((rule) => fits(rule) && rule.path.test(rest ?? ''));
  return rules.some((rule) => fits(rule) && rule.path.test(path));
}
