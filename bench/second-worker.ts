// A second worker process on the same Redis: it gets no messages, only jobs, and tells the first what it launches and ends.
import { startUnderMeasurement } from './bench-engine.ts';

const [socket = '', endpoint = ''] = process.argv.slice(2);
const engine = await startUnderMeasurement(
  { socket, endpoint },
  { launch: (taskId) => void process.send?.({ launched: taskId }), end: () => void process.send?.({ ended: 1 }) },
);
process.on('disconnect', () => void engine.stop().then(() => process.exit(0)));
process.send?.({ ready: true });
