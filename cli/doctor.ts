import type { Context } from './context.ts';
import { diagnose, findingLine } from './diagnosis/diagnosis.ts';

/** `npm run doctor`: one line for each hop that data takes; 1 when one of them is broken. */
export async function doctor(context: Context): Promise<number> {
  const counts = { ok: 0, wrong: 0, 'not checked': 0 };
  for await (const finding of diagnose(context)) {
    counts[finding.state]++;
    context.print(findingLine(finding));
  }
  context.print(`\n${counts.ok} ok, ${counts.wrong} wrong, ${counts['not checked']} not checked`);
  return counts.wrong > 0 ? 1 : 0;
}
