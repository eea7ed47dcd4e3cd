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

/**
 * A burn rate that alerts: so much of the budget of a period, 168 h, is gone within the long window. It has
 * to be that high over the short window, too.
 */
const burns = (share: number, hours: number, short: string) => {
  const rate = Number(((share * 168) / hours).toFixed(2)); // 3.3600000000000003
  return {
    rate,
    windows: [`${hours}h`, short],
    text: `above ${rate} over ${hours}h and ${short}`,
  };
};

/** As in mimir/rules/anonymous/alerts.yaml. */
const FAST = burns(0.02, 1, '5m');
const SLOW = burns(0.05, 6, '30m');

const HOW = `An **objective** says how many requests may go wrong: the **error budget**. The **burn rate** says how fast it is being used: 1 uses all of it in exactly 7 days. There are three alerts: *ErrorBudgetBurn* for availability and *LatencyBudgetBurn* for latency fire when the burn rate is ${FAST.text} (2 % of the budget in an hour), *ErrorBudgetSlowBurn* for both when it is ${SLOW.text} (5 % in six hours) and has been for an hour. The long window says that it matters, the short one that it still goes on. How the numbers are made: \`docs/alerting.md\`.

Each request counts, whether its trace is kept or not. After the lesson \`error-burst\` the budget stays below 0 for up to a week, or until enough requests have gone well.`;

const slo = (name: string) => `service_name="${SERVICE}", slo="${name}"`;

const panels = (name: string, good: string, alert: string) => [
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
        'What may still go wrong within these 7 days. Below 0 the objective is missed, for up to a week.',
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
    { yellow: 1, red: FAST.rate },
  ).decimals(1),
  graph(
    {
      title: 'Burn rate',
      description: `By window. ${alert} fires when it is ${FAST.text}, ErrorBudgetSlowBurn when it has been ${SLOW.text} for an hour.`,
      width: 12,
    },
    units.Short,
    ...[...FAST.windows, ...SLOW.windows].map((window) =>
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
    '': [prose(HOW, 24, 4)],
    'Availability: requests that are not answered with 5xx': panels(
      'availability',
      'answered without a server error',
      'ErrorBudgetBurn',
    ),
    'Latency: requests that take at most 250 ms': panels(
      'latency',
      'answered within 250 ms',
      'LatencyBudgetBurn',
    ),
  },
);
