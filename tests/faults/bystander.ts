// A process that has nothing to do with any dyno and only wants to live.
setInterval(() => undefined, 60_000);
