/** What to do instead of Docker, at the end of what did not go with it. */
export const NATIVE = 'npm start -- --native does without Docker.';

/** The usual failures of `docker compose up`, by what it says about them. */
export const CAUSES: [RegExp, string][] = [
  [
    /start_interval/,
    `The Docker engine is too old for the health checks: version 25 or newer is needed (https://docs.docker.com/engine/install/). ${NATIVE}`,
  ],
  [
    /NanoCPUs can not be set/i,
    'This engine cannot limit processors (rootless Docker without the cpu controller, some NAS): delete the line "cpus: 1" in docker-compose.yaml.',
  ],
  [
    /exec \S+: operation not permitted/i,
    `Docker from snap starts nothing that has no-new-privileges: install Docker from its own packages (https://docs.docker.com/engine/install/), or delete that line in docker-compose.yaml. ${NATIVE}`,
  ],
  [
    /no space left on device/i,
    'The disk is full: "docker system df" shows what Docker keeps, "docker system prune" removes what nothing uses.',
  ],
  [
    /port is already allocated|address already in use/i,
    'A port was taken in the meantime: run the command again, and it names the holder.',
  ],
  [
    /pull access denied|failed to resolve source metadata|manifest (unknown|for)|toomanyrequests|failed to do request|TLS handshake timeout|no such host|Get "https?:/i,
    `An image could not be pulled: the registry cannot be reached from here, or refuses. ${NATIVE}`,
  ],
];
