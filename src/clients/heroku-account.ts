// Whose a token of the Platform API is.
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { type HerokuAccess, herokuCall } from './heroku-call.ts';
import type { CallOptions } from './ports.ts';

const accountReply = Compile(Type.Object({ email: Type.String() }));

/** The email of the account that the access' token acts for. Throws as herokuCall does: `heroku_refused` for a token that is not taken. */
export async function accountOf(access: HerokuAccess, options: CallOptions = {}): Promise<string> {
  return (await herokuCall(access, '', { method: 'GET', path: '/account' }, accountReply, options)).email;
}
