import { type ParsedRequest, queryValue } from './http-request.ts';
import { S3Error } from './s3-error.ts';

/** What a request says about its own signature, before anything of it is believed. */
export type SignedClaim = {
  presigned: boolean;
  accessKeyId: string;
  sessionToken: string | undefined;
  /** `20260131T120000Z`, and the same moment in milliseconds. */
  date: string;
  time: number;
  /** The day in the credential scope, `20260131`. */
  day: string;
  region: string;
  service: string;
  signedHeaders: string[];
  signature: string;
  /** How long a presigned request is good; 0 otherwise. */
  expiresSeconds: number;
  /** `X-Amz-Content-Sha256` of a presigned address, when it carries one. */
  contentSha256: string | undefined;
};

// A week: what AWS allows for a presigned address.
const MAX_EXPIRES_SECONDS = 604_800;

const SIGNATURE_V2 =
  "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256 (Signature Version 4). In boto3: boto3.client('s3', config=botocore.config.Config(signature_version='s3v4')).";

/** Reads the Authorization header or the presigned query. Throws S3Error when there is none, or it is not Signature Version 4. */
export function readAuthorization(request: ParsedRequest): SignedClaim {
  const header = request.headers['authorization'];
  const algorithm = queryValue(request.query, 'X-Amz-Algorithm');
  if (header !== undefined && algorithm !== undefined) {
    throw new S3Error(
      'InvalidArgument',
      'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization header should be specified',
    );
  }
  if (header !== undefined) return readHeader(request, header);
  if (algorithm !== undefined) return readQuery(request, algorithm);
  if (queryValue(request.query, 'AWSAccessKeyId') !== undefined) throw new S3Error('InvalidRequest', SIGNATURE_V2);
  throw new S3Error('AccessDenied', 'Access Denied: the request carries no signature, and this store serves nobody anonymously.');
}

function readHeader(request: ParsedRequest, header: string): SignedClaim {
  const [scheme = '', ...rest] = header.split(' ');
  if (scheme === 'AWS') throw new S3Error('InvalidRequest', SIGNATURE_V2);
  if (scheme !== 'AWS4-HMAC-SHA256') {
    throw new S3Error(
      'InvalidRequest',
      `The authorization mechanism ${JSON.stringify(scheme.slice(0, 40))} is not supported. Please use AWS4-HMAC-SHA256.`,
    );
  }
  const fields = new Map(
    rest
      .join(' ')
      .split(',')
      .map((field) => {
        const [name = '', value = ''] = splitOnce(field.trim(), '=');
        return [name, value] as const;
      }),
  );
  const credential = fields.get('Credential');
  const signedHeaders = fields.get('SignedHeaders');
  const signature = fields.get('Signature');
  if (!credential || !signedHeaders || !signature) {
    throw new S3Error(
      'AuthorizationHeaderMalformed',
      'The authorization header is malformed; expecting Credential, SignedHeaders and Signature.',
    );
  }
  const date = request.headers['x-amz-date'] ?? compactDate(request.headers['date']);
  if (date === undefined) throw new S3Error('AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header');
  return {
    presigned: false,
    ...readScope(credential, date, 'AuthorizationHeaderMalformed'),
    sessionToken: request.headers['x-amz-security-token'],
    signedHeaders: readSignedHeaders(signedHeaders, 'AuthorizationHeaderMalformed'),
    signature,
    expiresSeconds: 0,
    contentSha256: undefined,
  };
}

function readQuery(request: ParsedRequest, algorithm: string): SignedClaim {
  const fault = 'AuthorizationQueryParametersError';
  if (algorithm !== 'AWS4-HMAC-SHA256') throw new S3Error(fault, 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"');
  const read = (name: string): string => {
    const value = queryValue(request.query, name);
    if (!value) {
      throw new S3Error(
        fault,
        `Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters; ${name} is missing.`,
      );
    }
    return value;
  };
  const expires = read('X-Amz-Expires');
  const expiresSeconds = Number(expires);
  if (!/^\d+$/.test(expires)) throw new S3Error(fault, 'X-Amz-Expires should be a number');
  if (expiresSeconds > MAX_EXPIRES_SECONDS)
    throw new S3Error(
      fault,
      `X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than ${MAX_EXPIRES_SECONDS} seconds`,
    );
  return {
    presigned: true,
    ...readScope(read('X-Amz-Credential'), read('X-Amz-Date'), fault),
    sessionToken: queryValue(request.query, 'X-Amz-Security-Token'),
    signedHeaders: readSignedHeaders(read('X-Amz-SignedHeaders'), fault),
    signature: read('X-Amz-Signature'),
    expiresSeconds,
    contentSha256: queryValue(request.query, 'X-Amz-Content-Sha256'),
  };
}

type Fault = 'AuthorizationHeaderMalformed' | 'AuthorizationQueryParametersError';

function readScope(credential: string, date: string, fault: Fault) {
  const match = /^(.+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request$/.exec(credential);
  const [, accessKeyId, day, region, service] = match ?? [];
  if (!accessKeyId || !day || !region || !service) {
    throw new S3Error(fault, 'The Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".');
  }
  const time = readCompactDate(date);
  if (time === undefined) throw new S3Error(fault, `The date ${JSON.stringify(date.slice(0, 40))} is not in the form YYYYMMDDTHHMMSSZ.`);
  if (!date.startsWith(day)) throw new S3Error(fault, `Invalid credential date "${day}"; it is not the day of "${date}".`);
  return { accessKeyId, day, region, service, date, time };
}

function readSignedHeaders(text: string, fault: Fault): string[] {
  const names = text.split(';');
  if (!names.includes('host')) throw new S3Error(fault, 'SignedHeaders must name the host header.');
  if (names.some((name) => name !== name.toLowerCase())) throw new S3Error(fault, 'SignedHeaders must be in lower case.');
  return names;
}

function readCompactDate(date: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(time) ? undefined : time;
}

function compactDate(httpDate: string | undefined): string | undefined {
  const time = Date.parse(httpDate ?? '');
  if (Number.isNaN(time)) return undefined;
  return `${new Date(time).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
