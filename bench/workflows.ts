const task = { cmd: 'work', timeout: 14_400 };
/** Workflows by the first part of the key that carries them. */
export const WORKFLOWS = {
  in: { title: 'bench', run: [task, task] },
  group: { title: 'group', run: [{ parallel: Array.from({ length: 200 }, () => task) }] },
  single: { title: 'single', run: [task] },
} as const;
