// How dynos get credentials that renew themselves, with what each SDK needs for it.
import type { ResourceView } from '../../schema/api-views.ts';
import { type Html, html } from './html.ts';
import { copyable, type View } from './layout.ts';
import { button } from './settings-forms.ts';

interface ContainerInput {
  readonly resource: ResourceView;
  readonly origin: string;
}

/** The config vars that make the SDKs ask here; `token`: the text of an API token that may write. */
export function containerCommand({ resource, origin }: ContainerInput, token: string): string {
  return `heroku config:set --app ${resource.app} AWS_REGION=${resource.region} AWS_CONTAINER_CREDENTIALS_FULL_URI=${origin}/v1/credentials AWS_CONTAINER_AUTHORIZATION_TOKEN="Bearer ${token}"`;
}

/** What the code looks like then; the SDK's usual chain of sources finds the rest. */
const SDKS: readonly (readonly [string, string])[] = [
  ['Python, boto3', 'import boto3\ns3 = boto3.client("s3")'],
  ['JavaScript, @aws-sdk', "import { S3Client } from '@aws-sdk/client-s3';\nconst s3 = new S3Client({});"],
  ['Ruby, aws-sdk-s3', 's3 = Aws::S3::Client.new'],
  ['Java, AWS SDK 2', 'S3Client s3 = S3Client.create();'],
  ['Go, aws-sdk-go-v2', 'cfg, err := config.LoadDefaultConfig(ctx)\nclient := s3.NewFromConfig(cfg)'],
  ['Command line', 'aws s3 ls "s3://$LD_S3_BUCKET/"'],
];

/** The card. */
export function containerCard(view: View, input: ContainerInput): Html {
  return html`<section class="card" aria-labelledby="cc-h"><details><summary><h2 id="cc-h">Credentials without restarts</h2> <span class="muted">how to set it up for each SDK</span></summary>
<p>A renewal of <code>LD_AWS_…</code> in the config vars restarts the app. Every AWS SDK can instead fetch the same credentials from here and renew them while it runs. It needs a token that may write, once:</p>
${button(view, 'tokens', { name: 'container credentials', scope: 'write', for: 'container' }, 'Make a token for it')}
<p>This command sets it up:</p><p>${copyable(containerCommand(input, 'TOKEN'))}</p>
<p class="muted">An app that also has <code>AWS_ACCESS_KEY_ID</code> as a config var uses that first: remove it. The address must be <code>https</code> or on this machine, or SDKs refuse it.</p>
<div class="snippets">${SDKS.map(([name, code]) => html`<div><h3>${name}</h3><pre class="preview" tabindex="0" aria-label="${name}">${code}</pre></div>`)}</div></details></section>`;
}
