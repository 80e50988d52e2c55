/** docs/observability.md, the alert rules and the dashboard name what there is, and all of it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { FILL_FAILURES } from '../../src/cache/fill-failure.ts'
import { BoundedNames } from '../../src/observe/bounded-names.ts'
import { Counts } from '../../src/observe/counts.ts'
import { type Observed, readGauges } from '../../src/observe/gauges.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const page = read('docs/observability.md')
const rules = read('observability/prometheus/rules.yaml')
const dashboard = read('observability/grafana/ociregistry.json')

const OBSERVED: Observed = {
  version: '1.2.3',
  isLoaded: true,
  manifests: 0,
  references: 0,
  manifestBytes: 0,
  stored: undefined,
  usedBytes: undefined,
  budgetBytes: undefined,
  quarantined: undefined,
  storeTrouble: {},
  fills: {},
  upstreams: [],
  lastPrune: undefined,
  certificateExpiryMs: undefined,
}

const registries = new BoundedNames([], 0)
const names = [
  ...new Counts(registries, FILL_FAILURES).all().map(({ name }) => name),
  ...readGauges(OBSERVED, registries).map(({ name }) => name),
]

for (const name of names) test(`docs/observability.md names ${name}`, () => assert.ok(page.includes(`\`${name}\``)))

for (const cause of FILL_FAILURES) {
  test(`docs/observability.md names the cause ${cause} of a download that failed`, () =>
    assert.ok(page.includes(`\`${cause}\``) || cause === 'other'))
}

for (const [, alert = ''] of rules.matchAll(/- alert: (\w+)/g)) {
  test(`docs/observability.md says what the alert ${alert} means`, () => assert.ok(page.includes(`| \`${alert}\` |`)))
}

for (const [what, text] of [
  ['alert rules', rules],
  ['dashboard', dashboard],
] as const) {
  test(`The ${what} name no metric that is not there`, () => {
    const named = new Set(Array.from(text.matchAll(/\bociregistry_\w+/g), ([name]) => name.replace(/(?<=_seconds)_bucket$/, '')))
    assert.deepEqual(
      [...named].filter((name) => !names.includes(name)),
      [],
    )
  })
}
