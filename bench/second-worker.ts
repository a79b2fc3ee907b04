// A second worker process on the same Redis: it gets no messages, only jobs, and tells the first what it launches and ends.
import { startUnderMeasurement } from './bench-engine.ts';

const [socket = '', endpoint = ''] = process.argv.slice(2);
const tell = (what: object) => {
  if (process.connected) process.send?.(what);
};
const engine = await startUnderMeasurement(
  { socket, endpoint },
  { launch: (taskId) => tell({ launched: taskId }), end: () => tell({ ended: 1 }) },
);
process.on('disconnect', () => void engine.stop().then(() => process.exit(0)));
tell({ ready: true });
