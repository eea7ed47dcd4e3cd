import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboards from '@grafana/grafana-foundation-sdk/dashboard';
import * as logs from '@grafana/grafana-foundation-sdk/logs';
import * as loki from '@grafana/grafana-foundation-sdk/loki';
import * as nodegraph from '@grafana/grafana-foundation-sdk/nodegraph';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as tempo from '@grafana/grafana-foundation-sdk/tempo';
import * as text from '@grafana/grafana-foundation-sdk/text';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import * as units from '@grafana/grafana-foundation-sdk/units';

// The few kinds of query and panel that the dashboards are made of. Their widths are in
// Grafana's grid of 24 columns; panels fill a row from the left and then begin the next.

const MIMIR: common.DataSourceRef = { type: 'prometheus', uid: 'mimir' };
const LOKI: common.DataSourceRef = { type: 'loki', uid: 'loki' };
const TEMPO: common.DataSourceRef = { type: 'tempo', uid: 'tempo' };

/** What Alertmanager told, to Slack and, through the collector, to Loki. */
export const NOTIFICATIONS =
  '{service_name="alertmanager"} | alertname!="DoctorCanary"';

type Query = Builder<
  Dataquery & { datasource?: common.DataSourceRef; legendFormat?: string }
>;

/** A PromQL query over the time range; `legend` names each series, with {{label}}s. */
export const metric = (
  expr: string,
  legend: string,
): prometheus.DataqueryBuilder =>
  new prometheus.DataqueryBuilder()
    .datasource(MIMIR)
    .expr(expr)
    .legendFormat(legend)
    .range();

/** The same, with the exemplars of the metric as dots that lead to a trace. */
export const metricWithExemplars = (expr: string, legend: string) =>
  metric(expr, legend).exemplar(true);

/** A PromQL query for now. */
export const metricNow = (expr: string, legend: string) =>
  metric(expr, legend).instant();

/** A LogQL query for lines. */
export const logLines = (expr: string): Query =>
  new loki.DataqueryBuilder()
    .datasource(LOKI)
    .expr(expr)
    .queryType('range')
    .maxLines(100);

/** A LogQL query that counts. */
export const logMetric = (expr: string, legend: string): Query =>
  new loki.DataqueryBuilder()
    .datasource(LOKI)
    .expr(expr)
    .legendFormat(legend)
    .queryType('range');

/** A TraceQL query for the newest traces: without the hint Tempo answers the first that it finds. */
export const traceSearch = (traceql: string): Query =>
  new tempo.DataqueryBuilder()
    .datasource(TEMPO)
    .query(`${traceql} with (most_recent=true)`)
    .queryType('traceql')
    .tableType(tempo.SearchTableType.Traces)
    .limit(20);

/**
 * The colour that a name has on every panel, by the label that it is the value of; '' for names that are
 * written into a legend. All else gets a colour of Grafana's palette by its name, so that none changes when
 * another series appears.
 */
export const COLORS: Record<string, Record<string, RegExp>> = {
  detected_level: {
    red: /^(error|critical|fatal)$/,
    orange: /^warn$/,
    blue: /^info$/,
    'light-blue': /^(debug|trace)$/,
    text: /^unknown$/,
  },
  http_response_status_code: {
    green: /^2..$/,
    blue: /^3..$/,
    orange: /^4..$/,
    red: /^5..$/,
  },
  db_client_connection_state: { green: /^idle$/, blue: /^used$/ },
  system_memory_state: { green: /^free$/, blue: /^used$/ },
  '': {
    green: /^received$/,
    orange: /^(requests that wait|of the limit|wrong time|cut)$/,
  },
};

/** The overrides that colour a panel whose series have these legends. */
function colorsOf(legends: string[]) {
  const label = (legend: string) => /^\{\{(\w+)\}\}$/.exec(legend)?.[1];
  return Object.entries(COLORS).flatMap(([of, byColor]) =>
    Object.entries(byColor)
      .filter(([, name]) =>
        legends.some((text) => (of ? label(text) === of : name.test(text))),
      )
      .map(([fixedColor, name]) => ({
        matcher: { id: 'byRegexp', options: String(name) },
        properties: [
          {
            id: 'color',
            value: { mode: dashboards.FieldColorModeId.Fixed, fixedColor },
          },
        ],
      })),
  );
}

interface About {
  title: string;
  /** What the panel shows and where it comes from, behind the (i) in its corner. */
  description: string;
  width: number;
}

/** What all panels have: a frame, and queries to one data source, which Grafana tells apart by a letter. */
function framed<
  Panel extends {
    title(text: string): Panel;
    description(text: string): Panel;
    span(columns: number): Panel;
    datasource(source: common.DataSourceRef): Panel;
    targets(queries: Query[]): Panel;
  },
>(
  panel: Panel,
  { title, description, width }: About,
  ...queries: Query[]
): Panel {
  const targets = queries.map((query, index) => ({
    build: () => ({
      ...query.build(),
      refId: String.fromCharCode('A'.charCodeAt(0) + index),
    }),
  }));
  return panel
    .title(title)
    .description(description)
    .span(width)
    .datasource(targets[0]!.build().datasource!)
    .targets(targets);
}

/** Numbers over time. */
export const graph = (about: About, unit: string, ...queries: Query[]) =>
  framed(new timeseries.PanelBuilder(), about, ...queries)
    .height(8)
    .unit(unit)
    .colorScheme(
      new dashboards.FieldColorBuilder().mode(
        dashboards.FieldColorModeId.PaletteClassicByName,
      ),
    )
    .overrides(
      colorsOf(queries.map((query) => query.build().legendFormat ?? '')),
    )
    .axisSoftMin(0)
    .fillOpacity(10)
    .showPoints(common.VisibilityMode.Auto)
    .legend(
      new common.VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder()
        .mode(common.TooltipDisplayMode.Multi)
        .sort(common.SortOrder.Descending),
    );

/** Gives one series of a graph a unit of its own, on the right axis. */
export const onRightAxis = (
  legend: string,
  unit: string,
  panel: timeseries.PanelBuilder,
) =>
  panel.overrideByName(legend, [
    { id: 'unit', value: unit },
    { id: 'custom.axisPlacement', value: common.AxisPlacement.Right },
  ]);

/** Numbers over time, one on top of the other. */
export const stackedGraph = (...args: Parameters<typeof graph>) =>
  graph(...args).stacking(
    new common.StackingConfigBuilder().mode(common.StackingMode.Normal),
  );

/** Counts over time, as stacked bars. */
export const bars = (...args: Parameters<typeof graph>) =>
  stackedGraph(...args)
    .drawStyle(common.GraphDrawStyle.Bars)
    .fillOpacity(80);

/** For what should not be there at all: every series is a shade of red. */
export const allBad = (panel: timeseries.PanelBuilder) =>
  panel.colorScheme(
    new dashboards.FieldColorBuilder()
      .mode(dashboards.FieldColorModeId.Shades)
      .fixedColor('red'),
  );

/** Where a number turns yellow and red: above, or below where `red` is the smaller one. */
export interface Limits {
  yellow: number;
  red: number;
}

/** One number: the newest. */
export const number = (
  about: About,
  unit: string,
  query: Query,
  limits?: Limits,
) =>
  framed(new stat.PanelBuilder(), about, query)
    .height(4)
    .unit(unit)
    .colorMode(common.BigValueColorMode.Value)
    .graphMode(common.BigValueGraphMode.None)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .thresholds(
      new dashboards.ThresholdsConfigBuilder()
        .mode(dashboards.ThresholdsMode.Absolute)
        .steps(steps(limits)),
    );

function steps(limits?: Limits): dashboards.Threshold[] {
  if (!limits) return [{ color: 'text', value: null }];
  const { yellow, red } = limits;
  return red > yellow
    ? [
        { color: 'green', value: null },
        { color: 'yellow', value: yellow },
        { color: 'red', value: red },
      ]
    : [
        { color: 'red', value: null },
        { color: 'yellow', value: red },
        { color: 'green', value: yellow },
      ];
}

/** What is up (1) and what is down (0). */
export const upOrDown = (about: About, query: Query) =>
  number(about, units.Short, query).mappings([
    {
      type: dashboards.MappingType.ValueToText,
      options: {
        0: { text: 'down', color: 'red' },
        1: { text: 'up', color: 'green' },
      },
    },
  ]);

/** Log lines, newest first; a line opens to its fields and to its trace. */
export const logList = (about: About, query: Query) =>
  framed(new logs.PanelBuilder(), about, query)
    .height(9)
    .showTime(true)
    .wrapLogMessage(true)
    .enableLogDetails(true)
    .sortOrder(common.LogsSortOrder.Descending);

/** Traces, newest first; each id opens its trace. */
export const traceTable = (about: About, query: Query) =>
  framed(new table.PanelBuilder(), about, query)
    .height(9)
    .overrideByName('Service', [{ id: 'custom.hidden', value: true }])
    .overrideByName('Start time', [{ id: 'custom.width', value: 170 }])
    .overrideByName('Duration', [{ id: 'custom.width', value: 90 }]);

/** Who calls whom, drawn by Grafana from the traces_service_graph_* metrics. */
export const serviceGraph = (about: About) =>
  framed(
    new nodegraph.PanelBuilder(),
    about,
    new tempo.DataqueryBuilder().datasource(TEMPO).queryType('serviceMap'),
  ).height(9);

/** The alerts of Mimir's and Loki's rules that fire or are about to. */
export const alertList = ({
  title,
  description,
  width,
}: About): Builder<dashboards.Panel> => ({
  // the SDK has no builder for this kind
  build: () => ({
    ...new dashboards.PanelBuilder()
      .title(title)
      .description(description)
      .span(width)
      .height(9)
      .build(),
    type: 'alertlist',
    options: {
      viewMode: 'list',
      maxItems: 20,
      sortOrder: 3, // by importance
      stateFilter: { firing: true, pending: true, error: true },
    },
  }),
});

/** Alertmanager's notifications as lines across every graph: red where an alert fires, green where it ends. */
const notificationMarks = (name: string, status: string, color: string) =>
  new dashboards.AnnotationQueryBuilder()
    .name(name)
    .datasource(LOKI)
    .enable(true)
    .iconColor(color)
    .titleFormat('{{alertname}} {{status}}')
    .textFormat('{{summary}}')
    .expr(`${NOTIFICATIONS} | status="${status}"`); // not .target(): Grafana's Loki asks nothing then, and says nothing

/** Prose, in Markdown. */
export const prose = (
  markdown: string,
  width: number,
  height: number,
): text.PanelBuilder =>
  new text.PanelBuilder()
    .mode(text.TextMode.Markdown)
    .content(markdown)
    .transparent(true)
    .span(width)
    .height(height);

/** A dashboard of titled rows. Panels are numbered from 1 in their order, for links to them. */
export function dashboard(
  about: { uid: string; title: string; description: string },
  rows: Record<string, Builder<dashboards.Panel>[]>,
  variables: dashboards.QueryVariableBuilder[] = [],
): dashboards.Dashboard {
  const builder = new dashboards.DashboardBuilder(about.title)
    .uid(about.uid)
    .description(about.description)
    .tags(['lgtm-stack'])
    .readonly()
    .tooltip(dashboards.DashboardCursorSync.Crosshair)
    .time({ from: 'now-15m', to: 'now' })
    .refresh('10s')
    .variables(variables)
    .annotation(notificationMarks('Alerts', 'firing', 'red'))
    .annotation(notificationMarks('Ends of alerts', 'resolved', 'green'))
    .link(
      new dashboards.DashboardLinkBuilder('Dashboards')
        .type(dashboards.DashboardLinkType.Dashboards)
        .tags(['lgtm-stack'])
        .keepTime(true),
    );
  for (const [title, panels] of Object.entries(rows)) {
    if (title) builder.withRow(new dashboards.RowBuilder(title));
    for (const panel of panels) builder.withPanel(panel);
  }
  const built = builder.build();
  built.panels!.forEach((panel, index) => (panel.id = index + 1));
  // The SDK hides links and annotations in a menu, where nobody looks for them.
  for (const control of [...built.links!, ...built.annotations.list!])
    delete control.placement;
  return built;
}

/** The values that a label of a metric has, to choose from. */
export const labelVariable = (
  name: string,
  title: string,
  metricName: string,
  label: string,
): dashboards.QueryVariableBuilder =>
  new dashboards.QueryVariableBuilder(name)
    .label(title)
    .datasource(MIMIR)
    .query(`label_values(${metricName}, ${label})`)
    .refresh(dashboards.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboards.VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*');
