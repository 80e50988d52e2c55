/** What a client would get, decided on facts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BlobFacts, type CachedFacts, type ExplainFacts, type Explanation, explain } from '../../src/cache/explanation.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { parseRegistry } from '../../src/oci/name.ts'

const digest = digestOf(Buffer.from('x'))
const blob = (state: BlobFacts['state']): BlobFacts => ({ digest, sizeBytes: 1, state })
const IMAGE: CachedFacts = {
  digest,
  kind: 'image',
  mediaType: OCI_MANIFEST,
  sizeBytes: 1,
  suppliedBy: 'quay.io/app',
  bytesIn: 'store',
  times: { createdMs: 0, pulledMs: 0, checkedMs: 0 },
  blobs: [blob('stored'), blob('memory'), blob('foreign')],
  platforms: [],
}
const INDEX: CachedFacts = { ...IMAGE, kind: 'index', mediaType: OCI_INDEX, blobs: [] }
const FACTS: ExplainFacts = {
  reference: 'quay.io/app:1',
  registry: parseRegistry('quay.io'),
  airGapped: false,
  needsConsent: false,
  cached: IMAGE,
  isHidden: false,
  policy: 'never',
  isDue: false,
  upstream: { state: 'well' },
  isKnownAbsent: false,
}
const DOWN = { upstream: { state: 'down', retryInMs: 1500 } } as const
const PAUSED = { upstream: { state: 'troubled', retryInMs: 3000 } } as const
const platform = (name: string, state: 'complete' | 'incomplete' | 'absent') => ({ platform: name, digest, state })

type Want = readonly [answer: Explanation['answer'], from: Explanation['from'], isComplete: boolean | undefined, why: RegExp]
const cases: [what: string, facts: Partial<ExplainFacts>, want: Want][] = [
  ['what is cached and not due', {}, ['served', 'store', true, /^it is cached, and not due to be checked$/]],
  ['what is in memory', { cached: { ...IMAGE, bytesIn: 'memory' } }, ['served', 'memory', true, /not due/]],
  ['a cached digest', { policy: undefined }, ['served', 'store', true, /cannot change/]],
  ['a cached digest, air-gapped', { policy: undefined, airGapped: true }, ['served', 'store', true, /cannot change/]],
  ['a tag that is due', { policy: 'always', isDue: true }, ['asks', 'store', true, /quay\.io is asked whether the tag has moved/]],
  ['a tag that is due, its registry down', { policy: 'always', isDue: true, ...DOWN }, ['served', 'store', true, /marked stale/]],
  ['a tag that is due, its registry pausing', { policy: 1000, isDue: true, ...PAUSED }, ['served', 'store', true, /pause of another 3 s/]],
  ['a tag that is due, air-gapped', { policy: 'always', isDue: true, airGapped: true }, ['served', 'store', true, /air-gapped/]],
  [
    'what lacks blobs',
    { cached: { ...IMAGE, blobs: [blob('missing'), blob('stored')] } },
    ['served', 'store', false, /1 of its 2 blobs are not stored/],
  ],
  [
    'what is being downloaded',
    { cached: { ...IMAGE, blobs: [blob('downloading')] } },
    ['served', 'store', false, /1 of its 1 blobs are being downloaded/],
  ],
  [
    'an index without some of its images',
    {
      cached: { ...INDEX, platforms: [platform('linux/amd64', 'complete'), platform('linux/arm64', 'absent'), platform('', 'incomplete')] },
    },
    ['served', 'store', false, /1 of its 3 manifests are not cached\|1 of its 3 manifests lack blobs/],
  ],
  [
    'an index that is whole',
    { cached: { ...INDEX, platforms: [platform('linux/amd64', 'complete')] } },
    ['served', 'store', true, /cached/],
  ],
  ['what is not cached', { cached: undefined }, ['asks', 'upstream', undefined, /^it is not cached\|quay\.io is asked for it$/]],
  ['what is not cached, air-gapped', { cached: undefined, airGapped: true }, ['refused', 'nowhere', undefined, /404/]],
  ['what is known to be absent', { cached: undefined, isKnownAbsent: true }, ['refused', 'nowhere', undefined, /said a moment ago/]],
  [
    'what is not cached, its registry down',
    { cached: undefined, ...DOWN },
    ['refused', 'nowhere', undefined, /down, and not asked for another 2 s/],
  ],
  [
    'what is not cached, its registry closed',
    { cached: undefined, upstream: { closed: 'it is closed' } },
    ['refused', 'nowhere', undefined, /it is closed/],
  ],
  ['what the store has lost', { cached: { ...IMAGE, bytesIn: 'nowhere' } }, ['asks', 'upstream', false, /gone from the store/]],
  ['what only a private registry has supplied', { isHidden: true }, ['asks', 'upstream', false, /only a private registry/]],
  ['what is private', { needsConsent: true }, ['asks', 'store', true, /has to consent each time/]],
  ['what is private and not cached', { needsConsent: true, cached: undefined }, ['asks', 'upstream', undefined, /has to consent/]],
  ['what is private, its registry down', { needsConsent: true, ...DOWN }, ['refused', 'nowhere', true, /is down/]],
  ['what is private, air-gapped', { needsConsent: true, airGapped: true }, ['refused', 'nowhere', true, /air-gapped/]],
]

for (const [what, facts, [answer, from, isComplete, why]] of cases) {
  test(`It is explained what becomes of ${what}`, () => {
    const explained = explain({ ...FACTS, ...facts })
    assert.deepEqual([explained.answer, explained.from, explained.isComplete], [answer, from, isComplete])
    assert.match(explained.why.join('|'), why)
  })
}
