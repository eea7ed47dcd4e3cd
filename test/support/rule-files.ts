import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ROOT } from '../../cli/paths.ts';

/** A rule of Mimir or Loki: an alert, or a series that is recorded. */
interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}
type Alert = Rule & { alert: string };

/** The rules in the files that match a pattern below the repository's folder. */
export const rulesIn = (pattern: string): Rule[] =>
  globSync(pattern, { cwd: ROOT })
    .flatMap(
      (file) =>
        (parse(readFileSync(join(ROOT, file), 'utf8')) as { groups: { rules: Rule[] }[] }).groups,
    )
    .flatMap(({ rules }) => rules);

/** Those of them that are alerts. */
export const alertsIn = (pattern: string): Alert[] =>
  rulesIn(pattern).filter((rule): rule is Alert => rule.alert !== undefined);
