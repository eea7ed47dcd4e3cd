import booksService from './books-service.ts';
import followOneRequest from './follow-one-request.ts';
import slo from './slo.ts';
import stack from './stack.ts';

/** Every dashboard, as Grafana's own types describe it. */
export const dashboards = [followOneRequest, booksService, stack, slo];
