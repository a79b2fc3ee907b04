import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Writes the rule set that sends completely unmodified boto3 and aws CLI to `endpoint` (`http://127.0.0.1:PORT`), path style.
 * Give clients `dir` as AWS_DATA_PATH. An explicit endpoint (`--endpoint-url`, `endpoint_url=`) still wins.
 * Works with botocore since its endpoint rule sets (1.28); versions before AWS_ENDPOINT_URL (1.31) have no other way.
 */
export async function writeEndpointRules(dir: string, endpoint: string): Promise<void> {
  const folder = join(dir, 's3', '2006-03-01');
  const file = join(folder, 'endpoint-rule-set-1.json');
  await mkdir(folder, { recursive: true });
  // A client may read while the port changes: never a half-written file.
  await writeFile(`${file}.new`, `${JSON.stringify(ruleSet(endpoint), null, 2)}\n`);
  await rename(`${file}.new`, file);
}

function ruleSet(endpoint: string): object {
  const isSet = (name: string): object => ({ fn: 'isSet', argv: [{ ref: name }] });
  const properties = { authSchemes: [{ name: 'sigv4', signingName: 's3', signingRegion: '{Region}', disableDoubleEncoding: true }] };
  const rule = (conditions: object[], url: string): object => ({
    type: 'endpoint',
    conditions,
    endpoint: { url, properties, headers: {} },
  });
  return {
    version: '1.0',
    parameters: {
      Bucket: { type: 'String', required: false, documentation: 'The bucket of the request.' },
      Region: { type: 'String', builtIn: 'AWS::Region', required: true, default: 'us-east-1', documentation: 'The region to sign for.' },
      Endpoint: { type: 'String', builtIn: 'SDK::Endpoint', required: false, documentation: 'An explicit endpoint.' },
    },
    rules: [
      rule([isSet('Endpoint'), isSet('Bucket')], '{Endpoint}/{Bucket}'),
      rule([isSet('Endpoint')], '{Endpoint}'),
      rule([isSet('Bucket')], `${endpoint}/{Bucket}`),
      rule([], endpoint),
    ],
  };
}
