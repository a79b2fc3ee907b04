import type { DynoPlatform } from '../clients/ports.ts';

/**
 * The same platform, whose calls other than launches are charged to the account's budget before they are made: polling and
 * stopping count at Heroku like launching. A launch is charged where it is granted.
 */
export function chargedPlatform(platform: DynoPlatform, charge: () => Promise<void>): DynoPlatform {
  return {
    launch: platform.launch,
    list: async (...call) => {
      await charge();
      return await platform.list(...call);
    },
    stop: async (...call) => {
      await charge();
      await platform.stop(...call);
    },
    endOf: async (...call) => {
      await charge();
      return await platform.endOf(...call);
    },
    log: async (...call) => {
      await charge();
      return await platform.log(...call);
    },
    follow: async function* (app, dynoName, options) {
      await charge();
      yield* platform.follow(app, dynoName, options);
    },
    processTypes: async (...call) => {
      await charge();
      return await platform.processTypes(...call);
    },
    configVars: async (...call) => {
      await charge();
      return await platform.configVars(...call);
    },
    subscribe: async (...call) => {
      await charge();
      await platform.subscribe(...call);
    },
    setConfigVars: async (...call) => {
      await charge();
      await platform.setConfigVars(...call);
    },
  };
}
