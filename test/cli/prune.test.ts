/** The command `prune`: what it prints, what it asks, what it removes, and what it refuses. */
import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { adminQuery } from '../../src/cli/prune.ts'
import { run } from '../../src/cli/run.ts'
import type { CommandLineValues } from '../../src/config/flags.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { type LockHolder, StoreLock } from '../../src/store/lock.ts'
import { FakeContent } from '../support/fake-registry-content.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { snapshot } from '../support/old-store.ts'
import { storeImage, storeIndex } from '../support/stored-image.ts'
import { FakeIo } from './fake-io.ts'

type Ran = { readonly code: number; readonly out: string; readonly err: string; readonly io: FakeIo }

async function prune(path: string, args: readonly string[], change: Partial<Pick<FakeIo, 'canAsk' | 'answer'>> = {}): Promise<Ran> {
  const io = Object.assign(new FakeIo(), change)
  const code = await run(['prune', '--image-path', path, ...args], io)
  return { code, out: io.out, err: io.err, io }
}

const SHARED = Buffer.alloc(1024, 'shared')

/** Two images that share a layer, one of them with a second tag, an index with an image, and a blob that nothing needs. */
async function filled(t: TestContext): Promise<{ path: string; store: DirectoryStore }> {
  const path = await temporaryDirectory(t)
  const store = await DirectoryStore.open(path, new MemoryLog())
  const one = await storeImage(store, 'quay.io/team/one:1', { layers: [SHARED, Buffer.from('one')] })
  await store.putRef({ reference: 'quay.io/team/one:same', digest: one.digest, createdMs: 0, pulledMs: 0, checkedMs: 0 })
  await storeImage(store, 'quay.io/team/two:1', { layers: [SHARED, Buffer.from('two')] })
  const upstream = new FakeContent()
  const image = await storeImage(store, 'quay.io/team/multi:amd64', { layers: [Buffer.from('multi')] }, upstream)
  await storeIndex(store, 'quay.io/team/multi:1', [image], upstream)
  await store.putBlob('sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090' as never, Buffer.from('abc123'))
  return { path, store }
}

async function references({ store }: { store: DirectoryStore }): Promise<string[]> {
  const found: string[] = []
  for await (const { reference } of store.listRefs()) found.push(reference.replace('quay.io/team/', ''))
  return found.sort()
}

const runs: [sentence: string, args: string[], left: string[], out: RegExp][] = [
  [
    'By pattern',
    ['--pattern', 'team/two'],
    ['multi:1', 'multi:amd64', 'one:1', 'one:same'],
    /^What went:\n {2}quay\.io\/team\/two:1 {2}created {2}\S+ {2}pulled {2}\S+\n\nOrphans, which no reference needs, that went too:\n {2}blob {2}sha256:6ca13d52\w+ {2}6 bytes\n\nremoved 1 reference, 1 manifest and 3 blobs: [\d.]+ KiB came free\n$/,
  ],
  [
    'A tag that others share its digest with goes alone, and it is said',
    ['--pattern', 'one:1'],
    ['multi:1', 'multi:amd64', 'one:same', 'two:1'],
    /^What went:\n {2}quay\.io\/team\/one:1 .* its content stays, needed by quay\.io\/team\/one:same\n\nOrphans.*\n.*\n\nremoved 1 reference, 0 manifests and 1 blob: 4\.0 KiB came free\n$/,
  ],
  ['Several patterns', ['--pattern', 'two,multi:1$'], ['multi:amd64', 'one:1', 'one:same'], /removed 2 references/],
  [
    'All but what is to be kept',
    ['--pattern', '.', '--keep', 'two', '--keep', 'one:same'],
    ['one:same', 'two:1'],
    /What stays:\n.*one:same +kept\n.*two:1 +kept/,
  ],
  ['By age', ['--older-than', '30d'], [], /removed 5 references/],
  [
    'By age of what was pulled later than that',
    ['--older-than', '100000d'],
    ['multi:1', 'multi:amd64', 'one:1', 'one:same', 'two:1'],
    /removed 0 references, 0 manifests and 1 blob/,
  ],
  ['By date', ['--date', '2025-01-01T00:00:00'], [], /removed 5 references/],
  [
    'By date, as older programs called it',
    ['--prune-before', '1960-01-01T00:00:00'],
    ['multi:1', 'multi:amd64', 'one:1', 'one:same', 'two:1'],
    /removed 0/,
  ],
  ['At most so many', ['--older-than', '1d', '--by', 'created', '--count', '2'], ['one:1', 'one:same', 'two:1'], /removed 2 references/],
  ['Down to a size', ['--max-size', '1'], [], /removed 5 references/],
  [
    'Only orphans',
    ['--orphans'],
    ['multi:1', 'multi:amd64', 'one:1', 'one:same', 'two:1'],
    /^Orphans.*\n {2}blob .*\n\nremoved 0 references, 0 manifests and 1 blob: 6 bytes came free\n$/,
  ],
]
for (const [sentence, args, left, out] of runs) {
  test(`prune ${args.join(' ')}. ${sentence}`, async (t) => {
    const ground = await filled(t)
    const ran = await prune(ground.path, args)
    assert.deepEqual([ran.code, ran.err], [0, ''])
    assert.match(ran.out, out)
    assert.deepEqual(await references(ground), left)
  })

  test(`prune ${args.join(' ')} --dry-run says the same, and changes nothing`, async (t) => {
    const { path } = await filled(t)
    const before = await snapshot(path)
    const dry = await prune(path, [...args, '--dry-run'])
    assert.deepEqual([dry.code, dry.err, await snapshot(path)], [0, '', before])
    const really = await prune(path, args)
    const asDone = dry.out.replaceAll('would go', 'went').replace('would remove', 'removed').replace('would come', 'came')
    assert.equal(asDone, really.out)
  })
}

test('prune --json prints one document', async (t) => {
  const { path } = await filled(t)
  const { code, out } = await prune(path, ['--pattern', 'two', '--json'])
  const report = JSON.parse(out)
  assert.deepEqual([code, report.dryRun, report.references[0].reference, report.manifests.length], [0, false, 'quay.io/team/two:1', 1])
  assert.deepEqual(report.blobs.map(({ orphan }: { orphan: boolean }) => orphan).sort(), [false, false, true])
})

for (const [answer, code, left] of [
  ['y', 0, 4],
  ['Yes', 0, 4],
  ['', 1, 5],
  ['n', 1, 5],
  ['yesterday', 1, 5],
] as const) {
  test(`At a terminal prune shows what goes and asks; to ${JSON.stringify(answer)} it ${left === 4 ? 'removes' : 'does not'}`, async (t) => {
    const ground = await filled(t)
    const ran = await prune(ground.path, ['--pattern', 'two'], { canAsk: true, answer })
    assert.deepEqual([ran.code, ran.io.questions, (await references(ground)).length], [code, ['Remove all this? [y/N] '], left])
    assert.match(ran.err, /^What would go:\n {2}quay\.io\/team\/two:1 /)
    assert.match(ran.out, left === 4 ? /^removed 1 reference, [^\n]+\n$/ : /^$/)
  })
}

test('At a terminal prune --yes does not ask, nor does one that finds nothing', async (t) => {
  const { path } = await filled(t)
  assert.deepEqual((await prune(path, ['--pattern', 'two', '--yes'], { canAsk: true })).io.questions, [])
  assert.deepEqual((await prune(path, ['--pattern', 'nothing'], { canAsk: true })).io.questions, [])
})

test('At a terminal prune --json asks as well', async (t) => {
  const { path } = await filled(t)
  const ran = await prune(path, ['--pattern', 'two', '--json'], { canAsk: true, answer: 'y' })
  assert.deepEqual([ran.io.questions.length, JSON.parse(ran.out).references.length], [1, 1])
})

test('While another command holds the store there is no server to ask', async (t) => {
  const { path } = await filled(t)
  const io = new FakeIo()
  const { admin: _, ...command } = SERVER
  const lock = await StoreLock.acquire(path, { self: { ...command, program: 'ociregistry load' }, waitMs: 0, clock: io.clock })
  t.after(() => lock.release())
  assert.match((await prune(path, ['--orphans'])).err, /in use by ociregistry load [^\n]*; wait until it has ended\n$/)
})

test('What the configuration pins stays', async (t) => {
  const ground = await filled(t)
  const file = join(ground.path, '..', `${Date.now()}.yaml`)
  t.after(() => import('node:fs/promises').then(({ rm }) => rm(file)))
  await writeFile(file, 'pins:\n  - ^quay.io/team/two\n')
  await prune(ground.path, ['--config-file', file, '--pattern', 'team'])
  assert.deepEqual(await references(ground), ['two:1'])
})

const mistakes: [args: string[], line: RegExp][] = [
  [[], /^error: prune: found nothing that says what is to go, want --pattern, /],
  [['--dry-run'], /^error: prune: found nothing that says what is to go/],
  [['--pattern', '('], /^error: --pattern: found "\(": missing closing \): [^\n]+, want Go's regular expressions, separated by commas\n$/],
  [['--pattern', 'a,b[,c'], /^error: --pattern: found "b\[": missing closing \]/],
  [['--pattern', 'x', '--keep', '*'], /^error: --keep: found "\*": missing argument to repetition operator/],
  [['--pattern', ','], /^error: --pattern: found there is no expression in it|^error: --pattern: /],
  [['--orphans', '--pattern', 'x'], /^error: --orphans: found beside --pattern/],
  [['--date', '2026-01-01'], /^error: --date: found "2026-01-01", want a local time such as /],
  [['--date', '2026-02-30T00:00:00'], /^error: --date: found "2026-02-30T00:00:00", want a local time/],
  [['--date', '2025-01-01T00:00:00', '--older-than', '1d'], /^error: --older-than: found beside --date/],
  [['--by', 'created', '--pattern', 'x'], /^error: --by: found without --date or --older-than/],
  [['--older-than', '1d12h'], /^error: --older-than: found "1d12h", want a duration/],
  [['--count', '0'], /^error: --count: found "0", want a whole number from 1/],
  [['--max-size', 'big'], /^error: --max-size: found "big", want a size/],
]
for (const [args, line] of mistakes) {
  test(`prune ${args.join(' ')} is a mistake: one line, exit 1, nothing is removed`, async (t) => {
    const { path } = await filled(t)
    const before = await snapshot(path)
    const { code, out, err } = await prune(path, args)
    assert.deepEqual([code, out, err.split('\n').length], [1, '', 2])
    assert.match(err, line)
    assert.deepEqual(await snapshot(path), before)
  })
}

test('A directory that is no store is refused', async (t) => {
  const { code, err } = await prune(await temporaryDirectory(t), ['--orphans'])
  assert.equal(code, 1)
  assert.match(err, /^error: cannot prune \S+: found no store in it, want the directory of a store/)
})

const SERVER: LockHolder = { program: 'ociregistry', version: '2', pid: 7, hostname: 'node', admin: 'http://127.0.0.1:9999' }

test('While a server holds the store prune refuses, and prints the call that asks the server to do it; a dry run goes on', async (t) => {
  const { path } = await filled(t)
  const io = new FakeIo()
  const lock = await StoreLock.acquire(path, { self: SERVER, waitMs: 0, clock: io.clock })
  t.after(() => lock.release())
  const before = await snapshot(path)
  const { code, err } = await prune(path, ['--pattern', 'two,one'])
  assert.equal(code, 1)
  assert.match(err, /^error: cannot prune: the store \S+ is in use by ociregistry 2 \(pid 7 on node\): /)
  assert.match(err, /curl -X DELETE 'http:\/\/127\.0\.0\.1:9999\/cmd\/prune\?type=pattern&expr=two%2Cone&count=-1'/)
  assert.deepEqual(await snapshot(path), before)
  assert.equal((await prune(path, ['--pattern', 'two,one', '--dry-run'])).code, 0)
})

const queries: [values: CommandLineValues, query: string | undefined][] = [
  [{ pattern: 'a.b' }, 'type=pattern&expr=a.b&count=-1'],
  [{ olderThan: 86_400_000 }, 'type=accessed&dur=86400s&count=-1'],
  [{ olderThan: 1000, by: 'created', count: 3 }, 'type=created&dur=1s&count=3'],
  [{ date: 0 }, 'type=created&dur=5s&count=-1'],
  [{ maxSize: 1024, keep: ['x', 'y'] }, 'type=size&maxSize=1024&keep=x%2Cy&count=-1'],
  [{ pattern: 'x', olderThan: 1000 }, undefined],
  [{ pattern: 'x', maxSize: 1024 }, undefined],
  [{ count: 3 }, undefined],
  [{ orphans: true, dryRun: true }, 'type=orphans&count=-1&dryRun=true'],
]
for (const [values, query] of queries) {
  test(`The server is to be asked for ${query ?? 'nothing'}: ${JSON.stringify(values)}`, () =>
    assert.equal(adminQuery(values, 5000), query))
}

test('Nothing is pruned by age while the clock is behind what the store has seen', async (t) => {
  const { path, store } = await filled(t)
  const inTheFuture = Date.UTC(2200, 0, 1)
  await store.putRef({
    reference: 'quay.io/team/two:1',
    digest: `sha256:${'0'.repeat(64)}` as never,
    createdMs: 0,
    pulledMs: 0,
    checkedMs: 0,
  })
  await storeImage(store, 'quay.io/team/late:1', { layers: [Buffer.from('late')] })
  for await (const ref of store.listRefs()) if (ref.reference.endsWith('late:1')) await store.putRef({ ...ref, pulledMs: inTheFuture })
  for (const more of [[], ['--dry-run']]) {
    const { code, err } = await prune(path, ['--older-than', '1d', ...more])
    assert.equal(code, 1)
    assert.match(
      err,
      /^error: cannot prune \S+: cannot tell ages: the clock says 2026-\S+, but the store has seen 2200-01-01T00:00:00.000Z \(quay\.io\/team\/late:1\); set the clock, or remove that by --pattern\n$/,
    )
  }
})

test('What cannot be removed is said, exit 1', async (t) => {
  if (process.getuid?.() === 0) return t.skip('privilege: root may remove every file')
  const { path } = await filled(t)
  await chmod(join(path, 'refs'), 0o555)
  t.after(() => chmod(join(path, 'refs'), 0o755))
  const { code, err } = await prune(path, ['--pattern', 'two'])
  assert.equal(code, 1)
  assert.match(err, /could not remove quay\.io\/team\/two:1/)
})
