import * as units from '@grafana/grafana-foundation-sdk/units';
import {
  dashboard,
  graph,
  metric,
  metricNow,
  number,
  prose,
} from './panels.ts';
import { SERVICE } from './queries.ts';

const HOW = `An **objective** says how many requests may go wrong: the **error budget**. The **burn rate** says how fast it is being used: 1 uses all of it in exactly 7 days, 14.4 in half a day. An alert fires when a long and a short window both burn too fast: the long one so that one bad minute wakes nobody, the short one so that the alert ends soon after the cause. The rules are in \`mimir/rules/\`.`;

/** How long a window looks back → the name of its rules. */
const WINDOWS = ['5m', '30m', '1h', '6h'];

const slo = (name: string) => `service_name="${SERVICE}", slo="${name}"`;

const panels = (name: string, good: string) => [
  number(
    {
      title: 'Objective',
      description: `The share of requests that must be ${good}.`,
      width: 6,
    },
    units.PercentUnit,
    metricNow(`slo:objective:ratio{${slo(name)}}`, ''),
  ).decimals(1),
  number(
    {
      title: 'Over the last 7 days',
      description: `The share of requests that were ${good}.`,
      width: 6,
    },
    units.PercentUnit,
    metricNow(`1 - slo:sli_error:ratio_rate7d{${slo(name)}}`, ''),
  ).decimals(2),
  number(
    {
      title: 'Error budget left',
      description:
        'What may still go wrong within these 7 days. Below 0 the objective is missed.',
      width: 6,
    },
    units.PercentUnit,
    metricNow(`slo:period_error_budget_remaining:ratio{${slo(name)}}`, ''),
    { yellow: 0.5, red: 0 },
  ).decimals(1),
  number(
    {
      title: 'Burn rate now',
      description: 'Over the last 5 minutes. 1 is what the budget allows.',
      width: 6,
    },
    units.Short,
    metricNow(`slo:current_burn_rate:ratio{${slo(name)}}`, ''),
    { yellow: 1, red: 14.4 },
  ).decimals(1),
  graph(
    {
      title: 'Burn rate',
      description:
        'By window. ErrorBudgetBurn fires when it is above 14.4 over 1 hour and over 5 minutes.',
      width: 12,
    },
    units.Short,
    ...WINDOWS.map((window) =>
      metric(
        `slo:sli_error:ratio_rate${window}{${slo(name)}} / slo:error_budget:ratio{${slo(name)}}`,
        window,
      ),
    ),
  ),
  graph(
    {
      title: 'Error budget left',
      description: 'Of the last 7 days, at each moment.',
      width: 12,
    },
    units.PercentUnit,
    metric(`slo:period_error_budget_remaining:ratio{${slo(name)}}`, 'left'),
  ),
];

/** Whether the service keeps what it promises. */
export default dashboard(
  {
    uid: 'slo',
    title: 'SLO',
    description: 'Objectives of the books service, error budget and burn rate',
  },
  {
    '': [prose(HOW, 24, 3)],
    'Availability: requests that are not answered with 5xx': panels(
      'availability',
      'answered without a server error',
    ),
    'Latency: requests that take less than 250 ms': panels(
      'latency',
      'answered in less than 250 ms',
    ),
  },
);
