/** A query in Explore, as the data source of this uid understands it. */
export type ExploreQuery =
  | { datasource: 'mimir'; expr: string; exemplar?: boolean }
  | { datasource: 'loki'; expr: string }
  | {
      datasource: 'tempo';
      /** TraceQL, or a trace id. */
      query: string;
    };

const TYPES = { mimir: 'prometheus', loki: 'loki', tempo: 'tempo' };

/**
 * The path of a page of Grafana that opens Explore with this query filled in.
 * @see https://grafana.com/docs/grafana/latest/explore/get-started-with-explore/#generate-explore-urls-from-external-tools
 */
export function exploreUrl(
  { datasource, ...query }: ExploreQuery,
  from = 'now-1h',
): string {
  const panes = {
    query: {
      datasource,
      queries: [
        {
          refId: 'A',
          datasource: { type: TYPES[datasource], uid: datasource },
          ...(datasource === 'tempo' && { queryType: 'traceql' }),
          ...query,
        },
      ],
      range: { from, to: 'now' },
    },
  };
  const encoded = encodeURIComponent(JSON.stringify(panes))
    // which would end a link in Markdown
    .replaceAll('(', '%28')
    .replaceAll(')', '%29');
  return `/explore?schemaVersion=1&panes=${encoded}`;
}
