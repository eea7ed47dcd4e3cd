import { readFileSync } from 'node:fs';
import { component } from '../components/index.ts';
import { NotChecked, type Examination, type Hop } from './examination.ts';

/** Grafana, and its ways to the stores. */
export const grafanaHops: Hop[] = [
  { title: 'Grafana', after: ['Stack'], check: takesLogin },
  through('loki', ({ number }) => [
    'loki/api/v1/query_range?query={service_name="doctor"}',
    number,
  ]),
  through('tempo', ({ traceId }) => [`api/v2/traces/${traceId}`, 'canary']),
  through('mimir', ({ number }) => ['api/v1/query?query=doctor_canary', number]),
];

async function takesLogin(exam: Examination): Promise<string> {
  const { standing } = exam;
  if (standing.how === 'native' && !standing.run.components.some(({ name }) => name === 'grafana'))
    throw new NotChecked('does not run here');
  await exam.answers('grafana');
  const { ok, status } = await ask(exam, '/api/datasources');
  if (ok) return 'answers, and takes the login';
  throw new NotChecked(
    `refuses the login (${status}). If you changed it in Grafana, name it: GF_SECURITY_ADMIN_USER, GRAFANA_ADMIN_PASSWORD_FILE (.env)`,
  );
}

/** @param question what is asked, and what has to be in the answer */
function through(
  name: string,
  question: (canary: Examination['canary']) => [path: string, expected: string | number],
): Hop {
  const { title } = component(name);
  return {
    title: `Grafana → ${title}`,
    after: ['Grafana', `Collector → ${title}`],
    async check(exam) {
      const [path, expected] = question(exam.canary);
      const response = await ask(exam, `/api/datasources/proxy/uid/${name}/${path}`);
      const text = await response.text();
      if (text.includes(String(expected))) return 'the canary is seen through its data source';
      throw new Error(
        `the canary is in ${title}, but not seen through the data source "${name}": ${response.status} ${text.slice(0, 100)}. Its url in grafana/provisioning/datasources is wrong; after a change: ${exam.restart('grafana')}`,
      );
    },
  };
}

function ask({ context, stores }: Examination, path: string): Promise<Response> {
  const { GF_SECURITY_ADMIN_USER, GF_SECURITY_ADMIN_PASSWORD, GRAFANA_ADMIN_PASSWORD_FILE } =
    context.settings;
  const password =
    GF_SECURITY_ADMIN_PASSWORD || readFileSync(GRAFANA_ADMIN_PASSWORD_FILE, 'utf8').trim();
  const login = Buffer.from(`${GF_SECURITY_ADMIN_USER}:${password}`).toString('base64');
  return context.fetch(stores.grafana + path, {
    headers: { authorization: `Basic ${login}` },
    signal: AbortSignal.timeout(10_000),
  });
}
