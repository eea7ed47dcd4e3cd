// Preloaded into the service (`node --require`): it then runs without any instrumentation. Nothing of the
// SDK is loaded, nothing is patched, no metrics are served. What the code itself calls (counters,
// decorators) stays and meets OpenTelemetry's API without an SDK, which does nothing.
const { Module } = require('node:module');

const load = Module._load;
Module._load = function (request, parent, isMain) {
  if (request !== './instrumentation') return load.call(this, request, parent, isMain);
  return { otelSDK: { start() {}, shutdown: async () => {} } };
};
