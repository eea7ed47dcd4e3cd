/** Off unless asked for: then nothing of this folder is loaded into the application. */
export const faultsEnabled = (env = process.env): boolean =>
  env.FAULTS_ENABLED === 'true';

/** Where faults for everybody are set. */
export const faultsPort = (env = process.env): number =>
  Number(env.FAULTS_PORT || 5556);
