/** What the admin API does: pruning, prefetching, status and explanations. */
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { test } from 'node:test'
import { LoadsFull } from '../../../src/cache/image-loads.ts'
import { PruneRefused } from '../../../src/cache/prune-report.ts'
import type { PruneRules } from '../../../src/cache/retention.ts'
import { digestHex, digestOf } from '../../../src/oci/digest.ts'
import { parseImageName } from '../../../src/oci/image-name.ts'
import { parseRegistry } from '../../../src/oci/name.ts'
import { formatPlatform } from '../../../src/oci/platform.ts'
import { registryAccess } from '../../../src/server/admin/registry-access.ts'
import { startFakeRegistry } from '../../support/fake-registry.ts'
import { status as fail, hangAt } from '../../support/fake-registry-faults.ts'
import { Gate } from '../../support/fake-registry-reply.ts'
import { temporaryDirectory } from '../../support/files.ts'
import { RawConnection } from '../../support/raw-http.ts'
import { entry } from '../../support/server.ts'
import { get, serve } from '../../support/service.ts'
import { blobFile, recordFile } from '../../support/stored-image.ts'
import { until } from '../../support/until.ts'
import { type AdminGround, askAt, JSON_PLEASE, layAdmin, messageOf, pull } from './support.ts'

const DAY_MS = 86_400_000
const some = digestOf(Buffer.from('some'))
const other = digestOf(Buffer.from('other'))

type Told = Omit<PruneRules, 'matches' | 'keep'> & { readonly matches?: boolean; readonly keep?: boolean }

const prunes: [query: string, rules: Told, dryRun: boolean][] = [
  ['type=created&dur=10d&count=50&dryRun=true', { olderThan: { by: 'created', ageMs: 10 * DAY_MS }, orphansOnly: false, count: 50 }, true],
  ['type=accessed&dur=1h30m', { olderThan: { by: 'accessed', ageMs: 5_400_000 }, orphansOnly: false, count: 5 }, false],
  ['type=ACCESSED&dur=0s&dryRun=f', { olderThan: { by: 'accessed', ageMs: 0 }, orphansOnly: false, count: 5 }, false],
  ['type=pattern&expr=calico,cilium&dur=nonsense', { matches: true, orphansOnly: false, count: 5 }, false],
  ['type=pattern&expr=nothing&count=-1&dryRun=1', { matches: false, orphansOnly: false }, true],
  ['type=orphans&dryRun=T', { orphansOnly: true, count: 5 }, true],
  ['type=size&maxSize=2GiB&count=-1&keep=calico', { maxBytes: 2 * 1024 ** 3, orphansOnly: false, keep: true }, false],
  ['type=created&dur=1d&expr=ignored', { olderThan: { by: 'created', ageMs: DAY_MS }, orphansOnly: false, count: 5 }, false],
]
test('A prune is what its parameters say; without dryRun it prunes, five manifests at most', async (t) => {
  const { ask, pruner } = await layAdmin(t)
  for (const [query, rules, dryRun] of prunes) {
    for (const method of ['DELETE', 'POST']) {
      assert.equal((await ask(`/cmd/prune?${query}`, { method })).status, 200, query)
      const asked = pruner.asked.pop()
      const { matches, keep, ...rest } = asked?.rules ?? { orphansOnly: false }
      const told = [matches, keep].map((expression) => expression?.('quay.io/calico/node:1'))
      assert.deepEqual([rest, ...told, asked?.dryRun], [withoutExpressions(rules), rules.matches, rules.keep, dryRun], query)
    }
  }
})

function withoutExpressions({ matches: _, keep: __, ...rules }: Told) {
  return rules
}

test('The answer of a prune lists every manifest and blob that went or would go, orphans apart', async (t) => {
  const { ask, pruner } = await layAdmin(t)
  const reference = `quay.io/app@${some}`
  pruner.answer = {
    references: [
      { reference: 'quay.io/app:1', digest: some, createdMs: 1, pulledMs: 2 },
      { reference: 'quay.io/app:3', digest: other, createdMs: 1, pulledMs: 2, neededBy: 'quay.io/app:4' },
    ],
    manifests: [
      { digest: some, kind: 'index', references: ['quay.io/app:1', reference], orphan: false },
      { digest: other, kind: 'image', references: [], orphan: true },
    ],
    blobs: [
      { digest: other, sizeBytes: 1, orphan: true },
      { digest: some, sizeBytes: 2048, orphan: false },
    ],
    stays: [{ reference, why: 'needed', by: 'quay.io/app:2' }],
    freedBytes: 2049,
    keptBytes: 5000,
    failures: [{ what: 'quay.io/app:3', why: 'the disk failed' }],
  }
  const pruned = await ask('/cmd/prune?type=orphans', { method: 'DELETE' })
  assert.deepEqual(pruned.body.toString().split('\n'), [
    `removed reference: quay.io/app:1 ${some}`,
    `removed reference: quay.io/app:3 ${other} (its manifest stays, needed by quay.io/app:4)`,
    `removed manifest: quay.io/app:1 ${some}`,
    `removed manifest: - ${other} (orphan)`,
    `removed blob: ${digestHex(some)}`,
    `removed blob: ${digestHex(other)} (orphan)`,
    `stays: ${reference} (needed by quay.io/app:2)`,
    'not removed: quay.io/app:3 (the disk failed)',
    'removed 2 reference(s), 2 manifest(s), 2 blob(s): 2.0 KiB',
    '',
  ])
  const dry = await ask('/cmd/prune?type=orphans&dryRun=true', { method: 'DELETE' })
  assert.ok(dry.body.toString().includes(`would remove blob: ${digestHex(some)}\n`))
  const json = await ask('/cmd/prune?type=orphans', { method: 'DELETE', headers: JSON_PLEASE })
  assert.deepEqual(json.json(), { dryRun: false, ...pruner.answer })
})

test('What the pruner refuses is 409 with its reason; what nobody expected is 500 and a bug in the log', async (t) => {
  const { ask, pruner, service } = await layAdmin(t)
  pruner.answer = new PruneRefused('the clock is behind')
  const refused = await ask('/cmd/prune?type=orphans', { method: 'DELETE' })
  assert.deepEqual([refused.status, messageOf(refused)], [409, 'the clock is behind'])
  pruner.answer = new Error('secret detail')
  const failed = await ask('/cmd/prune?type=orphans', { method: 'DELETE' })
  assert.equal(failed.status, 500)
  assert.doesNotMatch(messageOf(failed), /secret/)
  assert.ok(service.log.lines.some(({ fields }) => fields.bug === true))
})

test('Images to prefetch are checked first, and then all loaded in the background', async (t) => {
  const { ask, loads } = await layAdmin(t)
  const post = (body: unknown) => ask('/cmd/prefetch', { method: 'POST', body: JSON.stringify(body), headers: JSON_PLEASE })
  const images = ['alpine:3', 'quay.io/team/app', `quay.io/team/app:1@${some}`, 'registry.example:5000/x:1']
  const accepted = ['docker.io/library/alpine:3', 'quay.io/team/app:latest', `quay.io/team/app:1@${some}`, 'registry.example:5000/x:1']
  const answer = await post({ images, platforms: ['linux/amd64', 'linux/arm/v7'], referrers: true })
  assert.deepEqual([answer.status, answer.json()], [202, { accepted, joined: [] }])
  const platforms = [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm', variant: 'v7' },
  ]
  assert.deepEqual(loads.asked.pop(), { images: accepted, options: { platforms, referrers: true } })
  await post({ images: ['a:1'], platforms: ['all', 'linux/amd64'] })
  assert.deepEqual(loads.asked.pop()?.options, { platforms: 'all' })
  const query = await ask('/cmd/prefetch?ref=alpine:3&ref=quay.io/x:1', { method: 'POST' })
  assert.deepEqual([query.status, query.body.toString()], [202, 'accepted: docker.io/library/alpine:3\naccepted: quay.io/x:1\n'])
  assert.deepEqual(loads.asked.pop(), { images: ['docker.io/library/alpine:3', 'quay.io/x:1'], options: {} })
})

test('Who prefetches learns what is queued already, and when there are too many, and none of those is', async (t) => {
  const { ask, loads } = await layAdmin(t)
  const post = (headers = {}) => ask('/cmd/prefetch?ref=alpine:3&ref=quay.io/x:1', { method: 'POST', headers })
  loads.joined = [parseImageName('quay.io/x:1')]
  assert.equal((await post()).body.toString(), 'accepted: docker.io/library/alpine:3\naccepted: quay.io/x:1 (it is queued already)\n')
  const accepted = ['docker.io/library/alpine:3', 'quay.io/x:1']
  assert.deepEqual((await post(JSON_PLEASE)).json(), { accepted, joined: ['quay.io/x:1'] })
  loads.failure = new LoadsFull('too many')
  const refused = await post()
  assert.deepEqual([refused.status, refused.header('retry-after'), messageOf(refused)], [429, '60', 'too many'])
})

/** Platforms, all of them different. */
function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `linux/arm/v${i}`)
}

test('Platforms that a prefetch names twice count once', async (t) => {
  const { ask, loads } = await layAdmin(t)
  const platforms = [...numbered(64), ...numbered(64), 'Linux/ARM/v0']
  const { status } = await ask('/cmd/prefetch', { method: 'POST', body: JSON.stringify({ images: ['alpine:3'], platforms }) })
  const asked = loads.asked[0]?.options.platforms
  assert.deepEqual([status, typeof asked === 'object' && asked.map(formatPlatform)], [202, numbered(64)])
})

const badBodies: [body: string, message: RegExp][] = [
  ['', /^body: /],
  ['{', /^body: /],
  ['[]', /^body: /],
  ['null', /^body: /],
  ['{}', /^images: /],
  ['{"images":[]}', /^images: /],
  ['{"images":"alpine"}', /^images: /],
  ['{"images":[1]}', /^images: /],
  ['{"images":["alpine:3","Bad:1"]}', /^images\[1\]: found "Bad:1"/],
  ['{"images":["alpine"],"platforms":"linux/amd64"}', /^platforms: /],
  ['{"images":["alpine"],"platforms":[]}', /^platforms: /],
  ['{"images":["alpine"],"platforms":["linux"]}', /^platforms\[0\]: found "linux"/],
  [JSON.stringify({ images: ['alpine'], platforms: numbered(65) }), /^platforms: found more than 64/],
  ['{"images":["alpine"],"referrers":"yes"}', /^referrers: /],
  ['{"images":["alpine"],"image":["x"]}', /^"image": /],
]
test('A mistake in the body of a prefetch is 400 with one line that names the key, and nothing is loaded', async (t) => {
  const { ask, loads } = await layAdmin(t)
  for (const [body, message] of badBodies) {
    const refused = await ask('/cmd/prefetch', { method: 'POST', body })
    assert.equal(refused.status, 400, body)
    assert.match(messageOf(refused), message)
  }
  assert.deepEqual(loads.asked, [])
})

test('A body of more than one MiB is refused, announced or not, and one that waits for 100 Continue is asked for', async (t) => {
  const { ask, loads, service } = await layAdmin(t)
  const padded = (bytes: number) => `{"images":["alpine:3"]${' '.repeat(bytes - 23)}}`
  assert.equal((await ask('/cmd/prefetch', { method: 'POST', body: padded(1024 * 1024) })).status, 202)
  assert.equal((await ask('/cmd/prefetch', { method: 'POST', body: padded(1024 * 1024 + 1) })).status, 413)
  const body = `${(1024 * 1024 + 1).toString(16)}\r\n${padded(1024 * 1024 + 1)}\r\n0\r\n\r\n`
  const chunked = await RawConnection.open(service.port)
  chunked.write('POST /cmd/prefetch HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n')
  chunked.write(body)
  assert.equal((await chunked.response()).status, 413)
  chunked.close()
  assert.equal(loads.asked.length, 1)
  const request = { method: 'POST', target: '/cmd/prefetch', headers: { expect: '100-continue' }, body: padded(100) }
  assert.equal((await askAt(service.port, request)).status, 100)
})

test('An air-gapped server prefetches nothing, and says so', async (t) => {
  const { ask, loads } = await layAdmin(t, { airGapped: true })
  const refused = await ask('/cmd/prefetch?ref=alpine', { method: 'POST' })
  assert.deepEqual([refused.status, messageOf(refused)], [409, 'the server is air-gapped: it loads nothing'])
  assert.deepEqual(loads.asked, [])
})

test('The status tells of store, catalog, registries, downloads, the last prune and loads', async (t) => {
  const hub = await startFakeRegistry(t)
  const { layers, config } = hub.addImage('app', '1', {})
  const budget = { maxBytes: 1e9, highBytes: 9e8, lowBytes: 8e8 }
  const { ask, text, pruner, loads, service } = await layAdmin(t, { registries: [entry(hub, 'quay.io')], budget })
  await pull(service, 'app', '1', [config], 'quay.io')
  pruner.last = { endedMs: 0, references: 1, manifests: 2, blobs: 3, freedBytes: 1024, keptBytes: 5000 }
  loads.progress = { listed: 4, complete: 2, failed: 1, running: 1 }
  const status = (await ask('/cmd/status', { headers: JSON_PLEASE })).json() as Record<string, Record<string, unknown>>
  assert.equal(status.version, '1.2.3')
  assert.deepEqual(status.catalog, { isLoaded: true, manifests: 1, references: 1, blobs: layers.length + 1 })
  assert.ok(Number(status.store?.usedBytes) > 0)
  assert.deepEqual(status.upstreams, [{ registry: 'quay.io', state: 'well' }])
  assert.deepEqual(status.lastPrune, { ended: '1970-01-01T00:00:00.000Z', references: 1, manifests: 2, blobs: 3, freedBytes: 1024 })
  assert.deepEqual(status.loads, { prefetch: loads.progress })
  const lines = await text('/cmd/status')
  for (const line of [
    /^version: 1\.2\.3$/m,
    /^uptime: \d+ s$/m,
    /^store: \/.*, [\d.]+ [KM]?i?B used, well$/m,
    /^registry: quay\.io well$/m,
  ])
    assert.match(lines, line)
  assert.match(lines, /^catalog: 1 manifest\(s\), 1 reference\(s\), \d blob\(s\)$/m)
  assert.match(lines, /^last prune: .*, removed 2 manifest\(s\) and 3 blob\(s\), 1\.0 KiB$/m)
  assert.match(lines, /^prefetch: 2 of 4 image\(s\) complete, 1 failed, 1 being loaded$/m)
  assert.doesNotMatch(lines, /^preload:/m)
})

test('The status tells of a registry that refuses, and so does an explanation, until it grants something', async (t) => {
  const hub = await startFakeRegistry(t)
  hub.addImage('app', '1')
  const { ask, text } = await layAdmin(t, { registries: [entry(hub, 'quay.io')] })
  const fault = hub.fault({ match: {}, do: [fail(403)] })
  const pull = () => ask('/v2/app/manifests/1?ns=quay.io')
  assert.equal((await pull()).status, 403)
  const told =
    /^registry: quay\.io .*well; refused a request at \d{4}-\S+, and granted none since: cannot get manifest app:1 .* answered 403/m
  for (const target of ['/cmd/status', '/cmd/explain?ref=quay.io/app:1']) assert.match(await text(target), told)
  const { upstreams } = (await ask('/cmd/status', { headers: JSON_PLEASE })).json() as { upstreams: { refused?: { at: number } }[] }
  assert.equal(typeof upstreams[0]?.refused?.at, 'number')
  fault.remove()
  assert.equal((await pull()).status, 200)
  assert.match(await text('/cmd/status'), /^registry: quay\.io well$/m)
})

test('The status tells of a running download how far it is, where it comes from and who waits', async (t) => {
  const hub = await startFakeRegistry(t)
  const gate = new Gate()
  const layer = hub.addGeneratedBlob('layer', 1024 * 1024)
  hub.fault({ match: { kind: 'blob' }, do: [hangAt(512 * 1024, gate)] })
  const { ask, text, service } = await layAdmin(t, { registries: [entry(hub, 'quay.io')] })
  const pulling = get(service, `/v2/app/blobs/${layer}?ns=quay.io`)
  const fills = async () => {
    const status = (await ask('/cmd/status', { headers: JSON_PLEASE })).json() as { fills: { writtenBytes: number }[] }
    return status.fills
  }
  await until(async () => (await fills())[0]?.writtenBytes === 512 * 1024, 'half of it has come')
  const [fill] = await fills()
  const sizes = { writtenBytes: 512 * 1024, sizeBytes: 1024 * 1024, waiters: 1 }
  assert.deepEqual(fill, { digest: layer, state: 'running', sources: ['quay.io/app'], ...sizes })
  assert.ok((await text('/cmd/status')).includes(`fill: ${layer} running 524288/1048576 bytes, 1 waiting, from quay.io/app\n`))
  gate.open()
  assert.equal((await pulling).body.byteLength, 1024 * 1024)
})

type Explained = Record<string, unknown> & { readonly cached?: { readonly platforms: readonly unknown[] } }

async function explain({ ask }: AdminGround, ref: string): Promise<Explained> {
  const answer = await ask(`/cmd/explain?ref=${encodeURIComponent(ref)}`, { headers: JSON_PLEASE })
  assert.equal(answer.status, 200, answer.body.toString())
  return answer.json() as Explained
}

test('An explanation says whether a reference would be served, from where, and what is missing, and asks nobody', async (t) => {
  const hub = await startFakeRegistry(t)
  const [app, arm] = [hub.addImage('app', '1'), hub.addImage('app', 'arm')]
  const index = hub.addIndex('app', 'multi', [
    { digest: app.digest, platform: { os: 'linux', architecture: 'amd64' } },
    { digest: arm.digest, platform: { os: 'linux', architecture: 'arm64' } },
  ])
  const imagePath = await temporaryDirectory(t)
  const ground = await layAdmin(t, { imagePath, registries: [entry(hub, 'quay.io', 'q')] })
  await pull(ground.service, 'app', '1', [...app.layers, app.config], 'quay.io')
  await pull(ground.service, 'app', 'multi', [], 'quay.io')
  await until(async () => (await explain(ground, 'quay.io/app:1')).isComplete === true, 'all is stored')
  const before = hub.count()
  const here = await explain(ground, 'q/app:1')
  assert.deepEqual([here.reference, here.answer, here.from, here.isComplete], ['quay.io/app:1', 'served', 'memory', true])
  const multi = await explain(ground, 'quay.io/app:multi')
  assert.equal(multi.isComplete, false)
  assert.deepEqual(multi.cached?.platforms, [
    { platform: 'linux/amd64', digest: app.digest, state: 'complete' },
    { platform: 'linux/arm64', digest: arm.digest, state: 'absent' },
  ])
  assert.ok(String(multi.why).includes('1 of its 2 manifests are not cached'))
  const asText = async (ref: string) => ground.text(`/cmd/explain?ref=${ref}`)
  assert.match(await asText('quay.io/app:multi'), /^would be served: yes, without asking anybody$[\s\S]*^complete: for linux\/amd64$/m)
  const absent = await explain(ground, `quay.io/app@${arm.digest}`)
  assert.deepEqual([absent.answer, absent.from, absent.cached], ['asks', 'upstream', undefined])
  assert.deepEqual(absent.access, { url: `http://${hub.host}`, credentials: 'none: anonymous' })
  await rm(blobFile(imagePath, app.layers[0] ?? some))
  assert.equal((await explain(ground, `quay.io/app@${index}`)).answer, 'served')
  assert.equal(hub.count(), before, 'no registry was asked')
  await ground.service.stop()
  await rm(recordFile(imagePath, app.digest))
  const offline = await serve(t, { imagePath, airGapped: true })
  const answer = await askAt(offline.port, { target: '/cmd/explain?ref=quay.io/app:1' })
  assert.match(
    answer.body.toString(),
    /^quay\.io\/app:1\nwould be served: no\nfrom: nowhere\nwhy: it is not cached\nwhy: the server is air-gapped: 404\n/,
  )
  const lacking = await askAt(offline.port, { target: '/cmd/explain?ref=quay.io/app:multi' })
  assert.match(
    lacking.body.toString(),
    /^would be served: yes, without asking anybody; but not all that belongs to it is here$[\s\S]*^complete: no$/m,
  )
})

const hubEntry = {
  name: parseRegistry('a.io'),
  aliases: [parseRegistry('b')],
  scheme: 'http',
  address: '10.0.0.1:5000',
  tls: { insecureSkipVerify: false },
} as const
const NO_FILES = { registries: [hubEntry], credsFile: undefined, dockerConfig: undefined }
const accesses: [what: string, registry: string, config: Parameters<typeof registryAccess>[1], url: string, credentials: string][] = [
  ['an entry without credentials', 'a.io', NO_FILES, 'http://10.0.0.1:5000', 'none: anonymous'],
  ['an alias', 'b', NO_FILES, 'http://10.0.0.1:5000', 'none: anonymous'],
  ['no entry', 'c.io', NO_FILES, 'https://c.io', 'none: anonymous'],
  ['Docker Hub', 'docker.io', NO_FILES, 'https://registry-1.docker.io', 'none: anonymous'],
  ['credsFile', 'c.io', { ...NO_FILES, credsFile: '/x' }, 'https://c.io', 'what credsFile has for it, if anything'],
  [
    'both files',
    'c.io',
    { ...NO_FILES, credsFile: '/x', dockerConfig: '/y' },
    'https://c.io',
    'what credsFile or dockerConfig has for it, if anything',
  ],
  [
    'a password',
    'a.io',
    { ...NO_FILES, registries: [{ ...hubEntry, auth: { user: 'me', password: { from: 'config', password: 'secret' } } }] },
    'http://10.0.0.1:5000',
    'user and password of its entry',
  ],
  [
    'a dockerConfig of its own',
    'a.io',
    { ...NO_FILES, registries: [{ ...hubEntry, auth: { dockerConfig: '/x' } }] },
    'http://10.0.0.1:5000',
    'the dockerConfig of its entry',
  ],
]
for (const [what, registry, config, url, credentials] of accesses) {
  test(`How a registry with ${what} is reached is told without secrets`, () =>
    assert.deepEqual(registryAccess(parseRegistry(registry), config), { url, credentials }))
}
