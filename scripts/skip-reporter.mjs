/** A reporter for node:test: one JSON line for each test, so that `scripts/test.mjs` can count, and name every skip with its reason. */

/** @typedef {{ outcome: 'passed' | 'failed' | 'skipped', name: string, file: string, reason?: string }} Outcome */

/** @param {AsyncIterable<{ type: string, data: any }>} events */
export default async function* skipReporter(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const outcome = outcomeOf(type, data)
    if (outcome !== undefined) yield `${JSON.stringify(outcome)}\n`
  }
}

/** Node's own reasons for tests that were not asked for (`--test-name-pattern`, `--test-only`). */
const notChosen = ['test name does not match pattern', "'only' option not set"]

/** @param {string} type @param {any} data @returns {Outcome | undefined} */
function outcomeOf(type, data) {
  const { name, file = '', skip, details } = data
  if (notChosen.includes(skip)) return undefined
  if (skip !== undefined && skip !== false) return { outcome: 'skipped', name, file, reason: skip === true ? '' : String(skip) }
  if (type === 'test:fail') return { outcome: 'failed', name, file }
  return details?.type === 'suite' ? undefined : { outcome: 'passed', name, file }
}
