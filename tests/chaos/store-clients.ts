// S3 as dynos and the driver of a chaos run ask it, past the tap's faults.
import { setTimeout as pause } from 'node:timers/promises';
import { S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { ROOT } from './settings.ts';

/** One client for each of the credentials that config vars carry; the store's own where they carry none. */
export function openStoreClients(endpoint: string) {
  const dynoClients = new Map<string, S3Client>();
  const of = (vars: Readonly<Record<string, string>>): S3Client => {
    const accessKeyId = vars['LD_AWS_ACCESS_KEY_ID'] ?? ROOT.accessKeyId;
    const credentials = {
      accessKeyId,
      secretAccessKey: vars['LD_AWS_SECRET_ACCESS_KEY'] ?? ROOT.secretAccessKey,
      ...(vars['LD_AWS_SESSION_TOKEN'] === undefined ? {} : { sessionToken: vars['LD_AWS_SESSION_TOKEN'] }),
    };
    const client =
      dynoClients.get(accessKeyId) ?? new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, maxAttempts: 1, credentials });
    dynoClients.set(accessKeyId, client);
    return client;
  };
  return {
    of,
    close: () => {
      for (const client of dynoClients.values()) client.destroy();
    },
  };
}

/** The status of an answer of S3; throws what is no answer. */
export const statusOf = async (sent: Promise<unknown>): Promise<number> => {
  try {
    await sent;
    return 200;
  } catch (error) {
    const status = error instanceof S3ServiceException ? (error.$metadata.httpStatusCode ?? 0) : 0;
    if (status < 400 || status >= 500) throw error;
    return status;
  }
};

/** Asks again while the store is away. */
export const insist = async <T>(what: () => Promise<T>): Promise<T> => {
  for (let tries = 0; ; tries += 1) {
    try {
      return await what();
    } catch (error) {
      if (tries > 100) throw error;
      await pause(100);
    }
  }
};
