// The entries of `options`: `name=value`, each an environment variable of the dyno.

import { quote } from './fault.ts';

/**
 * Names that no workflow may set: they make a shell, loader, interpreter or tool run or trust something else than the
 * command says, or they are the platform's or our own. `*` at the end stands for any rest.
 */
export const REFUSED_OPTION_NAMES: readonly string[] = [
  // ours, and what points clients to the store; LD_* is the dynamic loader's as well
  ...['line_D', 'LD_*', 'AWS_ENDPOINT_URL*', 'AWS_DATA_PATH', 'AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE', 'AWS_CONTAINER_*'],
  // the platform's
  ...['PORT', 'DYNO', 'HOME', 'PATH', 'SHELL', 'IFS'],
  // libc and loader
  ...['GCONV_PATH', 'LOCPATH', 'NLSPATH', 'HOSTALIASES', 'GLIBC_TUNABLES', 'DYLD_*'],
  // shells
  ...['BASH_ENV', 'ENV', 'SHELLOPTS', 'BASHOPTS', 'BASH_FUNC_*', 'PROMPT_COMMAND', 'PS4', 'ZDOTDIR', 'FPATH', 'CDPATH', 'GLOBIGNORE'],
  // interpreters and runtimes
  ...['NODE_OPTIONS', 'NODE_PATH', 'NODE_EXTRA_CA_CERTS', 'NODE_TLS_REJECT_UNAUTHORIZED', 'NODE_REPL_EXTERNAL_MODULE'],
  ...['NPM_CONFIG_*', 'npm_config_*', 'BUN_OPTIONS', 'BUN_INSPECT_PRELOAD'],
  ...[
    'PYTHONPATH',
    'PYTHONSTARTUP',
    'PYTHONHOME',
    'PYTHONUSERBASE',
    'PYTHONINSPECT',
    'PYTHONWARNINGS',
    'PYTHONBREAKPOINT',
    'PYTHONPLATLIBDIR',
  ],
  ...['RUBYOPT', 'RUBYLIB', 'RUBYSHELL', 'GEM_HOME', 'GEM_PATH', 'BUNDLE_GEMFILE'],
  ...['PERL5OPT', 'PERL5LIB', 'PERLLIB', 'PERL5DB', 'PERL5SHELL'],
  ...['JAVA_TOOL_OPTIONS', 'JDK_JAVA_OPTIONS', '_JAVA_OPTIONS', 'CLASSPATH', 'JAVA_HOME'],
  ...['PHPRC', 'PHP_INI_SCAN_DIR', 'LUA_INIT*', 'LUA_PATH*', 'LUA_CPATH*', 'R_PROFILE*', 'R_ENVIRON*', 'JULIA_LOAD_PATH'],
  ...['ERL_FLAGS', 'ERL_AFLAGS', 'ERL_ZFLAGS', 'ELIXIR_ERL_OPTIONS'],
  ...['DOTNET_STARTUP_HOOKS', 'DOTNET_ADDITIONAL_DEPS', 'CORECLR_*', 'COR_*'],
  // tools that start others, and what TLS trusts
  ...['GIT_SSH*', 'GIT_EXEC_PATH', 'GIT_CONFIG*', 'GIT_EDITOR', 'GIT_PAGER', 'GIT_ASKPASS', 'GIT_EXTERNAL_DIFF', 'GIT_PROXY_COMMAND'],
  ...['GIT_TEMPLATE_DIR', 'SSH_ASKPASS', 'EDITOR', 'VISUAL', 'PAGER', 'MANPAGER', 'BROWSER', 'LESSOPEN', 'LESSCLOSE'],
  ...[
    'OPENSSL_CONF',
    'OPENSSL_MODULES',
    'OPENSSL_ENGINES',
    'SSL_CERT_FILE',
    'SSL_CERT_DIR',
    'CURL_CA_BUNDLE',
    'REQUESTS_CA_BUNDLE',
    'AWS_CA_BUNDLE',
  ],
];

export type OptionReading =
  | { readonly name: string; readonly value: string }
  | { readonly found: string; readonly expected: string; readonly hint?: string };

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const EXPECTED = '"name=value" with a name of letters, digits and _ that does not begin with a digit';

/**
 * Splits an entry at its first `=`; everything behind it is the value. Gives what is wrong with it instead, when
 * something is. The name is never a refused one and the value has no NUL.
 */
export function readOption(entry: string): OptionReading {
  const at = entry.indexOf('=');
  const name = at < 0 ? entry : entry.slice(0, at);
  if (!NAME.test(name)) return { found: `the name ${quote(name)}`, expected: EXPECTED, ...hintFor(name, at) };
  if (at < 0) return { found: quote(entry), expected: EXPECTED, hint: `write ${quote(`${name}=`)} with the value behind it` };
  if (isRefused(name)) return { found: `the name ${quote(name)}`, expected: 'a name that is not reserved', hint: 'choose another name' };
  const value = entry.slice(at + 1);
  if (value.includes('\0')) return { found: 'a NUL character', expected: 'a value without one: no environment variable can hold it' };
  return { name, value };
}

function isRefused(name: string): boolean {
  return REFUSED_OPTION_NAMES.some((refused) => (refused.endsWith('*') ? name.startsWith(refused.slice(0, -1)) : name === refused));
}

function hintFor(name: string, at: number): { hint?: string } {
  const repaired = name.trim().replace(/[^A-Za-z0-9_]/g, '_');
  if (at < 0 && name.includes(':')) return { hint: 'write = between name and value' };
  return NAME.test(repaired) && repaired.length <= 40 ? { hint: `did you mean ${repaired}?` } : {};
}
