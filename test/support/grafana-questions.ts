import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parser as logql } from '@grafana/lezer-logql';
import { parser as traceql } from '@grafana/lezer-traceql';
import type { LRParser } from '@lezer/lr';
import { parser as promql } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';
import { dashboards } from '../../grafana/src/dashboards.ts';
import { ROOT } from '../../cli/paths.ts';

// Everything that Grafana asks a data source for, read from its files: by panels, variables,
// annotations, links and the correlations between the data sources.

export interface Question {
  /** Who asks: "Books service › Rate". */
  where: string;
  kind:
    'metric' | 'label values' | 'exemplars' | 'log lines' | 'log metric' | 'traces' | 'service map';
  /** As it stands in the file, with Grafana's variables. */
  query: string;
  /** The labels that name the series, and so must be there. */
  legend: string[];
  datasource: string;
}

/** A link and what it must lead to: a dashboard, or a query in Explore. */
interface Link {
  where: string;
  url: string;
}

/** What Grafana puts in the place of its variables, for a range of the last 15 minutes. */
const VARIABLES: Record<string, string> = { __rate_interval: '1m', __auto: '15s', route: '.*' };

/** A query as Grafana sends it. @throws Error for a variable that is not known */
export function interpolate(query: string, more: Record<string, string> = {}): string {
  return query.replace(/\$(?:\{([\w.]+)\}|(\w+))/g, (text, braced, bare) => {
    const value = { ...VARIABLES, ...more }[(braced ?? bare) as string];
    if (value === undefined) throw new Error(`${text} is not known: ${query}`);
    return value;
  });
}

const GRAMMARS: Record<string, LRParser> = { mimir: promql, loki: logql, tempo: traceql };

/** @throws Error that shows where the query does not follow its language's grammar */
export function checkGrammar({ datasource, kind, query }: Question): void {
  if (kind === 'service map') return;
  const text = interpolate(kind === 'label values' ? labelValues(query).selector : query);
  GRAMMARS[datasource]!.parse(text).iterate({
    enter: ({ type, from }) => {
      if (type.isError) throw new Error(`${text.slice(0, from)} ⟵ here: ${text.slice(from)}`);
    },
  });
}

/** The parts of a variable's `label_values(selector, label)`. */
export function labelValues(query: string): { selector: string; label: string } {
  const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(query)!;
  return { selector: selector!, label: label! };
}

const labelsOf = (legend = '') => [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);

/** What a target of a panel, an annotation or a link to Explore asks for. */
function questionsOf(where: string, target: any): Question[] {
  const { datasource, expr, query, queryType, legendFormat } = target;
  const { uid } = datasource;
  const question = (kind: Question['kind'], text: string): Question => ({
    where,
    kind,
    query: text,
    legend: labelsOf(legendFormat),
    datasource: uid,
  });
  if (uid === 'tempo')
    return [queryType === 'serviceMap' ? question('service map', '') : question('traces', query)];
  if (uid === 'loki') return [question(expr.startsWith('{') ? 'log lines' : 'log metric', expr)];
  const asked = [question('metric', expr)];
  if (target.exemplar) asked.push(question('exemplars', expr));
  return asked;
}

/** All questions of all dashboards. */
export const dashboardQuestions: Question[] = dashboards.flatMap((dashboard: any) => {
  const { title, panels, templating, annotations } = dashboard;
  return [
    ...panels.flatMap((panel: any) =>
      (panel.targets ?? []).flatMap((target: any) =>
        questionsOf(`${title} › ${panel.title}`, target),
      ),
    ),
    ...(templating.list ?? []).map(({ name, query, datasource }: any): Question => ({
      where: `${title} › $${name}`,
      kind: 'label values',
      query,
      legend: [],
      datasource: datasource.uid,
    })),
    ...(annotations.list ?? []).flatMap((annotation: any) =>
      questionsOf(`${title} › ${annotation.name}`, annotation),
    ),
  ];
});

/** All links of all dashboards: in prose, of panels and of dashboards. */
export const dashboardLinks: Link[] = dashboards.flatMap((dashboard: any) =>
  dashboard.panels.flatMap((panel: any) => {
    const where = `${dashboard.title} › ${panel.title || 'text'}`;
    const prose: string = panel.options?.content ?? '';
    return [
      ...[...prose.matchAll(/\[([^\]]+)\]\(([^)]+)\)/g)].map(([, title, url]) => ({
        where: `${where} › ${title}`,
        url: url!,
      })),
      ...[...(panel.links ?? []), ...(panel.fieldConfig?.defaults?.links ?? [])].map(
        ({ title, url }: any) => ({ where: `${where} › ${title}`, url }),
      ),
    ];
  }),
);

/** What a link to Explore asks for. @throws Error when it is not such a link */
export function exploreQuestions({ where, url }: Link): Question[] {
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  if (pathname !== '/explore') throw new Error(`${url} is not Explore`);
  const panes = JSON.parse(searchParams.get('panes')!) as Record<string, any>;
  return Object.values(panes).flatMap(({ queries }) =>
    queries.flatMap((query: any) => questionsOf(where, query)),
  );
}

/** The settings of a data source, with "$$" already turned into "$" as Grafana does. */
export function datasource(uid: string): any {
  const file = 'grafana/provisioning/datasources/grafana-config.yaml';
  const text = readFileSync(join(ROOT, file), 'utf8').replaceAll('$$', '$');
  const found = parse(text).datasources.find((d: any) => d.uid === uid);
  if (!found) throw new Error(`there is no data source ${uid}`);
  return found.jsonData;
}
