// Preloaded into a process: what it sends to where OpenTelemetry's exporters send by themselves, port 4318 of this machine, goes to
// COLLECTOR_PORT. So a test sees without that port whether anything is sent that nobody asked for.
import { Socket } from 'node:net';

/** OTLP over HTTP (OpenTelemetry's specification). */
const DEFAULT_PORT = 4318;
const { connect } = Socket.prototype;
Socket.prototype.connect = function connectElsewhere(...args) {
  // node:net hands its own arguments on as a list
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (Number(options?.port) === DEFAULT_PORT) Object.assign(options, { host: '127.0.0.1', port: Number(process.env.COLLECTOR_PORT) });
  return connect.apply(this, args);
};
