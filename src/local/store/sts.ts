import { ACCOUNT_ID, type Credential, type Credentials } from './credentials.ts';
import { PolicyError, parsePolicy } from './policy.ts';
import { renderXml, type XmlElement } from './xml.ts';

/** A refusal of STS, with its code and HTTP status. */
export class StsError extends Error {
  override readonly name = 'StsError';
  readonly code: string;
  readonly status: number;

  constructor(code: string, status: number, message: string) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

type Deps = { credentials: Credentials; now: () => number; random: (bytes: number) => Buffer };
type Fields = Record<string, string | string[]>;

const XMLNS = 'https://sts.amazonaws.com/doc/2011-06-15/';
const HOUR = 3600;

/** Answers the STS query protocol: AssumeRole, GetFederationToken, GetCallerIdentity. Returns the XML document. Throws StsError. */
export function runSts(deps: Deps, fields: Fields, caller: Credential, requestId: string): string {
  const action = field(fields, 'Action') ?? '';
  switch (action) {
    case 'AssumeRole':
      return answer(action, assumeRole(deps, fields, caller), requestId);
    case 'GetFederationToken':
      return answer(action, getFederationToken(deps, fields, caller), requestId);
    case 'GetCallerIdentity':
      return answer(action, { UserId: caller.userId, Account: ACCOUNT_ID, Arn: caller.arn }, requestId);
    default:
      throw new StsError(
        'InvalidAction',
        400,
        `Could not find operation ${JSON.stringify(action.slice(0, 60))}; this store knows AssumeRole, GetFederationToken and GetCallerIdentity (and SQS by its JSON protocol only).`,
      );
  }
}

function assumeRole(deps: Deps, fields: Fields, caller: Credential): XmlElement {
  requireRoot(caller, 'sts:AssumeRole');
  const role = /^arn:aws:iam::(\d{12}):role\/([\w+=,.@/-]{1,512})$/.exec(required(fields, 'RoleArn'));
  if (!role?.[2]) throw invalid('RoleArn', 'an ARN such as arn:aws:iam::000000000000:role/tenant');
  const session = required(fields, 'RoleSessionName');
  if (!/^[\w+=,.@-]{2,64}$/.test(session)) throw invalid('RoleSessionName', '2 to 64 characters of [A-Za-z0-9_+=,.@-]');
  const policyText = field(fields, 'Policy');
  if (policyText === undefined) {
    throw new StsError(
      'ValidationError',
      400,
      'Policy is missing: this local STS keeps no roles, so a session can do only what its own session policy allows; pass Policy.',
    );
  }
  const name = role[2].slice(role[2].lastIndexOf('/') + 1);
  const roleId = `AROA${accountLetters(deps, 17)}`;
  const arn = `arn:aws:sts::${ACCOUNT_ID}:assumed-role/${name}/${session}`;
  // 15 minutes to 12 hours, an hour when not said (STS API reference, AssumeRole).
  const seconds = duration(fields, HOUR, 12 * HOUR);
  const userId = `${roleId}:${session}`;
  return { ...mint(deps, policyText, seconds, arn, userId), AssumedRoleUser: { AssumedRoleId: userId, Arn: arn } };
}

function getFederationToken(deps: Deps, fields: Fields, caller: Credential): XmlElement {
  requireRoot(caller, 'sts:GetFederationToken');
  const name = required(fields, 'Name');
  if (!/^[\w+=,.@-]{2,32}$/.test(name)) throw invalid('Name', '2 to 32 characters of [A-Za-z0-9_+=,.@-]');
  // Without a policy AWS makes a session that may do nothing.
  const policyText = field(fields, 'Policy') ?? '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}';
  const arn = `arn:aws:sts::${ACCOUNT_ID}:federated-user/${name}`;
  // 15 minutes to 36 hours, 12 when not said (STS API reference, GetFederationToken).
  const seconds = duration(fields, 12 * HOUR, 36 * HOUR);
  const userId = `${ACCOUNT_ID}:${name}`;
  return { ...mint(deps, policyText, seconds, arn, userId), FederatedUser: { FederatedUserId: userId, Arn: arn } };
}

function mint(deps: Deps, policyText: string, seconds: number, arn: string, userId: string): XmlElement {
  checkPolicy(policyText);
  const expires = Math.floor(deps.now() / 1000 + seconds) * 1000;
  const session = {
    accessKeyId: `ASIA${accountLetters(deps, 16)}`,
    secretAccessKey: deps.random(30).toString('base64'),
    sessionToken: deps.random(96).toString('base64'),
    policyText,
    arn,
    userId,
    expires,
  };
  deps.credentials.add(session);
  return {
    Credentials: {
      AccessKeyId: session.accessKeyId,
      SecretAccessKey: session.secretAccessKey,
      SessionToken: session.sessionToken,
      Expiration: new Date(expires).toISOString(),
    },
    PackedPolicySize: Math.ceil((policyText.length / 2048) * 100),
  };
}

function checkPolicy(text: string): void {
  try {
    parsePolicy(text);
  } catch (error) {
    if (error instanceof PolicyError) throw new StsError('MalformedPolicyDocument', 400, error.message);
    throw error;
  }
}

function requireRoot(caller: Credential, action: string): void {
  if (!caller.root)
    throw new StsError(
      'AccessDenied',
      403,
      `User: ${caller.arn} is not authorized to perform: ${action}; sessions cannot make sessions here.`,
    );
}

function duration(fields: Fields, otherwise: number, max: number): number {
  const text = field(fields, 'DurationSeconds');
  const seconds = text === undefined ? otherwise : Number(text);
  if ((text === undefined || /^\d+$/.test(text)) && seconds >= 900 && seconds <= max) return seconds;
  throw invalid('DurationSeconds', `900 to ${max} seconds`);
}

function accountLetters(deps: Deps, count: number): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  return Array.from(deps.random(count), (byte) => letters[byte % 32]).join('');
}

function required(fields: Fields, name: string): string {
  const value = field(fields, name);
  if (value === undefined || value === '') throw new StsError('ValidationError', 400, `1 validation error detected: ${name} is missing.`);
  return value;
}

function field(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  return Array.isArray(value) ? value[0] : value;
}

function invalid(name: string, expected: string): StsError {
  return new StsError('ValidationError', 400, `1 validation error detected: the value at ${name} is wrong; expected ${expected}.`);
}

function answer(action: string, result: XmlElement, requestId: string): string {
  return renderXml(`${action}Response`, { '@xmlns': XMLNS, [`${action}Result`]: result, ResponseMetadata: { RequestId: requestId } });
}

/** The error document of the STS query protocol. */
export function renderStsError(code: string, message: string, requestId: string): string {
  return renderXml('ErrorResponse', { '@xmlns': XMLNS, Error: { Type: 'Sender', Code: code, Message: message }, RequestId: requestId });
}
