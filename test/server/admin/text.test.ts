/** The texts of the admin API where a registry chose the words: each on its own line, and nothing that steers a terminal. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explain } from '../../../src/cache/explanation.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { OCI_INDEX } from '../../../src/oci/media-type.ts'
import { parseRegistry } from '../../../src/oci/name.ts'
import { textOfLines } from '../../../src/server/admin/answer.ts'
import { explanationText } from '../../../src/server/admin/explain.ts'
import { Parameters } from '../../../src/server/admin/parameters.ts'
import type { AdminParts } from '../../../src/server/admin/parts.ts'
import { status } from '../../../src/server/admin/status.ts'
import { ManualClock } from '../../support/clock.ts'
import { NOTHING_PRUNED } from '../../support/prune-report.ts'
import { layAdmin } from './support.ts'

const FORGED = 'x\nfrom: upstream\r\u001b[2J\u009b31m\u2028\u202e'
const SHOWN = 'x\\nfrom: upstream\\r\\u001b[2J\\u009b31m\\u2028\\u202e'

test('A line of text stays one line', () => assert.equal(textOfLines(['a b', FORGED]), `a b\n${SHOWN}\n`))

test('An explanation shows the words of a registry on one line', () => {
  const digest = digestOf(Buffer.from('x'))
  const explanation = explain({
    reference: 'quay.io/app:1',
    registry: parseRegistry('quay.io'),
    airGapped: false,
    needsConsent: false,
    cached: {
      digest,
      kind: 'index',
      mediaType: OCI_INDEX,
      sizeBytes: 1,
      suppliedBy: 'quay.io/app',
      bytesIn: 'store',
      times: undefined,
      blobs: [],
      platforms: [{ platform: FORGED, digest, state: 'complete' }],
    },
    isHidden: false,
    policy: 'never',
    isDue: false,
    upstream: { state: 'down', why: FORGED },
    isKnownAbsent: false,
  })
  const lines = explanationText(explanation, { url: 'https://quay.io', credentials: 'none: anonymous' }).split('\n')
  assert(lines.includes(`platform: ${SHOWN} ${digest} complete`), lines.join('\n'))
  assert(lines.includes(`registry: quay.io at https://quay.io, down: ${SHOWN}`), lines.join('\n'))
})

test('What could not be removed is told on one line', async (t) => {
  const { pruner, ask } = await layAdmin(t)
  pruner.answer = { ...NOTHING_PRUNED, failures: [{ what: 'quay.io/app:1', why: FORGED }] }
  const { body } = await ask('/cmd/prune?type=orphans', { method: 'POST' })
  assert(body.toString().split('\n').includes(`not removed: quay.io/app:1 (${SHOWN})`), body.toString())
})

test('The status shows the words of a registry on one line', async () => {
  const parts = {
    cache: { catalog: {}, isLoaded: true, fills: () => [] },
    upstreams: { all: () => [{ registry: 'quay.io', health: () => ({ state: 'down', why: FORGED }) }] },
    config: { imagePath: '/store', airGapped: false },
    pruner: {},
    loads: {},
    preload: () => undefined,
    storage: async () => undefined,
    clock: new ManualClock(),
  }
  const text = (await status(new Parameters(new URLSearchParams(), { parameters: [] }), parts as unknown as AdminParts)).text()
  assert(text.split('\n').includes(`registry: quay.io down: ${SHOWN}`), text)
})
