// What the npm scripts run: `node cli/main.js <verb> …`. Plain JavaScript, so that a Node that is too
// old for the rest can say so.

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(
    `Node ${process.versions.node} is too old to run this by itself: run "npm ci", which brings Node 24 on Linux and macOS, and then the command again.`,
  );
  process.exitCode = 1;
} else {
  await import('./verbs.ts').then(
    ({ main }) => main(process.argv.slice(2)),
    (error) => {
      console.error(`Something is not installed here: run "npm ci" first. (${error.message})`);
      process.exitCode = 1;
    },
  );
}
