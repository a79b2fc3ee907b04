// The reference page of the REST API: the OpenAPI document for people, without a script.
import { Hono } from 'hono';
import { html } from 'hono/html';
import { allFailureCodes, failureKind } from '../schema/failures.ts';
import type { ApiOperation, ApiRoute } from './api-route.ts';
import { openApiDocument } from './openapi.ts';

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
nav ul { columns: 2 16rem; padding-left: 1.2rem; }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: .5rem 0 1rem; }
h3 { font: 600 1rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { overflow: auto; padding: .75rem; border-radius: .4rem; background: color-mix(in srgb, currentColor 8%, transparent); }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
.tag { font-weight: 700; }
`;

/** `/openapi.json` and `/reference`. Both are public: they say nothing of any resource. */
export function referenceRoutes(routes: readonly ApiRoute[]) {
  const app = new Hono();
  const document = openApiDocument(routes);
  app.get('/openapi.json', (c) => c.json(document));
  app.get('/reference.css', (c) => c.body(STYLE, 200, { 'content-type': 'text/css; charset=utf-8' }));
  app.get('/reference', async (c) => c.html(await page(routes)));
  return app;
}

function page(routes: readonly ApiRoute[]) {
  const operations = routes.map(({ operation }) => operation);
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>REST API · Autofiles</title>
    <link rel="stylesheet" href="/reference.css" />
  </head>
  <body>
    <h1>REST API</h1>
    <p>
      Send <code>Authorization: Bearer &lt;token&gt;</code>. A token belongs to one resource and sees nothing of another one. Errors are problem+json
      with a code of the table below. The same as a document for tools: <a href="/openapi.json">/openapi.json</a>; workflows:
      <a href="/schema/workflow.json">/schema/workflow.json</a>.
    </p>
    <nav aria-label="Operations"><ul>${operations.map((one) => html`<li><a href="#${one.id}">${one.summary}</a></li>`)}</ul></nav>
    <main>${operations.map(section)}</main>
    <h2 id="failures">Failures</h2>
    <table>
      <thead><tr><th>Code</th><th>Status</th><th>Retry</th><th>What it says</th></tr></thead>
      <tbody>
        ${allFailureCodes().map((code) => {
          const { status, retry, message } = failureKind(code);
          return html`<tr><td><code>${code}</code></td><td>${status}</td><td>${retry ? 'yes' : 'no'}</td><td>${message}</td></tr>`;
        })}
      </tbody>
    </table>
  </body>
</html>`;
}

function section(operation: ApiOperation) {
  const { id, method, path, summary, description, query, examples } = operation;
  const parameters = Object.entries(query?.properties ?? {});
  return html`<section id="${id}" aria-labelledby="${id}-title">
    <h3 id="${id}-title"><span class="tag">${method.toUpperCase()}</span> /v1${path.replace('...}', '}')}</h3>
    <p>${summary}.</p>
    ${description === undefined ? '' : html`<p>${description}</p>`}
    ${
      parameters.length === 0
        ? ''
        : html`<table><tbody>${parameters.map(
            ([name, schema]) =>
              html`<tr><th scope="row"><code>${name}</code></th><td>${'description' in schema ? String(schema.description) : ''}</td></tr>`,
          )}</tbody></table>`
    }
    ${examples.map((example) => html`<p>${example.summary}:</p><pre><code>${curlOf(operation, example)}</code></pre>`)}
  </section>`;
}

/** The example as a command that a shell understands. */
function curlOf({ method, path }: ApiOperation, example: ApiOperation['examples'][number]): string {
  const filled = path.replace(/\{(\w+)(?:\.\.\.)?\}/g, (_, name: string) => example.path?.[name] ?? `<${name}>`);
  const query = example.query === undefined ? '' : `?${new URLSearchParams(example.query)}`;
  const how = method === 'get' ? '' : ` -X ${method.toUpperCase()}`;
  const body = example.body === undefined ? '' : ` \\\n  --json '${JSON.stringify(example.body).replaceAll("'", "'\\''")}'`;
  return `curl -H "Authorization: Bearer $AUTOFILES_TOKEN"${how} "$AUTOFILES_URL/v1${filled}${query}"${body}`;
}
