import assert from 'node:assert/strict'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { findCommand } from '../../src/cli/commands.ts'
import { run } from '../../src/cli/run.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { StoreLock } from '../../src/store/lock.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { FakeContent } from '../support/fake-registry-content.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { snapshot } from '../support/old-store.ts'
import {
  blobFile,
  flipBit,
  flipBitOfManifest,
  recordFile,
  referenceFile,
  type StoredImage,
  storeImage,
  storeIndex,
} from '../support/stored-image.ts'
import { FakeIo } from './fake-io.ts'

const V1 = 'quay.io/team/app:v1'

type Ran = { readonly code: number; readonly out: string; readonly err: string }

async function verify(...args: readonly string[]): Promise<Ran> {
  const io = new FakeIo()
  const code = await run(['verify', ...args], io)
  return { code, out: io.out, err: io.err }
}

async function filled(t: TestContext, upstream?: FakeContent): Promise<{ path: string; store: DirectoryStore; image: StoredImage }> {
  const path = await temporaryDirectory(t)
  const store = await DirectoryStore.open(path, new MemoryLog())
  return { path, store, image: await storeImage(store, V1, { layers: [Buffer.from('one'), Buffer.from('two')] }, upstream) }
}

test('verify of a store in which all is right says what it read, and exits with 0', async (t) => {
  const { path } = await filled(t)
  const { code, out, err } = await verify('--image-path', path)
  assert.deepEqual([code, err], [0, ''])
  assert.match(out, new RegExp(`^checked ${path}: 3 blobs \\(\\d+ bytes\\), 1 record, 1 reference\n`))
  assert.match(out, /\nimages: 1 complete, 0 incomplete\nnot checked: 0 files in pulls\/, 0 files in quarantine\/\nwrong: 0\n$/)
})

test('verify prints a table of what is wrong, changes nothing, and exits with 1', async (t) => {
  const { path, image } = await filled(t)
  await flipBit(blobFile(path, image.config))
  await writeFile(referenceFile(path, 'quay.io/x/y:1'), 'damaged')
  const before = await snapshot(path)
  const { code, out, err } = await verify('--image-path', path)
  assert.deepEqual([code, err], [1, ''])
  const [head = '', ...rows] = out.split('\n\n')[0]?.split('\n') ?? []
  assert.match(head, /^KIND +NAME +REFERENCES +WHAT IS WRONG$/)
  assert.match(rows[0] ?? '', /^reference {2}refs\/[0-9a-f]{64} +- +\S/)
  assert.match(rows[1] ?? '', new RegExp(`^blob +${image.config} +${V1} +its bytes hash to sha256:`))
  assert.match(out, /\nwrong: 2\nto mend what is wrong: [^\n]+ verify --repair[^\n]+\n$/)
  assert.deepEqual(await snapshot(path), before)
})

test('verify of an incomplete image says so, and exits with 0', async (t) => {
  const { path, image } = await filled(t)
  await rm(blobFile(path, image.layers[0] as Digest))
  const { code, out } = await verify('--image-path', path)
  assert.equal(code, 0)
  assert.match(out, new RegExp(`^image +${image.digest} +${V1} +incomplete: 1 of its 3 blobs \\(3 bytes\\) are not in the store$`, 'm'))
})

const completeness: [what: string, make: (ground: Awaited<ReturnType<typeof filled>>) => Promise<unknown>, code: number][] = [
  ['a store in which nothing is missing', async () => {}, 0],
  ['an image without one of its layers', ({ path, image }) => rm(blobFile(path, image.layers[0] as Digest)), 1],
  ['an image with a damaged layer', ({ path, image }) => flipBit(blobFile(path, image.layers[0] as Digest)), 1],
  [
    'an index of which another platform was never cached',
    ({ store, image }) => {
      const upstream = new FakeContent()
      return storeIndex(store, 'quay.io/team/app:list', [image, upstream.addImage('team/app', undefined)], upstream)
    },
    0,
  ],
]
for (const [what, make, wanted] of completeness) {
  test(`verify --complete of ${what} exits with ${wanted}`, async (t) => {
    const ground = await filled(t)
    await make(ground)
    const { code, err } = await verify('--complete', '--image-path', ground.path)
    assert.deepEqual([code, err], [wanted, ''])
    assert.equal((await verify('--complete', '--json', '--image-path', ground.path)).code, wanted)
  })
}

test('verify --json prints one document', async (t) => {
  const { path, image } = await filled(t)
  await flipBit(blobFile(path, image.config))
  const { code, out } = await verify('--json', '--rate', '1GiB', '--image-path', path)
  const document = JSON.parse(out)
  assert.deepEqual([code, document.store, document.wrong, document.images], [1, path, 1, { complete: 0, incomplete: 1 }])
  assert.deepEqual(
    [document.checked.blobs.files, document.checked.records.files, document.checked.references.files, document.spool, document.quarantine],
    [3, 1, 1, { files: 0, bytes: 0 }, { files: 0, bytes: 0 }],
  )
  const [finding] = document.findings
  assert.deepEqual(
    { ...finding, why: undefined },
    { verdict: 'wrong', kind: 'blob', digest: image.config, path: `blobs/${image.config.slice(7)}`, references: [V1], why: undefined },
  )
})

test('verify runs beside whoever holds the store, and needs no lock', async (t) => {
  const { path } = await filled(t)
  const io = new FakeIo()
  const lock = await StoreLock.acquire(path, {
    self: { program: 'ociregistry', version: '1.2.3', pid: 7, hostname: 'edge' },
    waitMs: 0,
    clock: io.clock,
  })
  t.after(() => lock.release())
  const code = run(['verify', '--image-path', path], io)
  let done = false
  void code.finally(() => {
    done = true
  })
  for (const began = performance.now(); !done && performance.now() - began < 20_000; ) await io.clock.advance(10) // it reads at a rate
  assert.deepEqual([await code, io.err], [0, ''])
})

test('The help of verify has examples that work', async (t) => {
  const { path } = await filled(t)
  const config = join(path, 'config.yaml')
  await writeFile(config, 'logLevel: warn')
  const { examples } = findCommand('verify')
  assert.ok(examples.length >= 2)
  for (const example of examples) {
    const [, , ...args] = example.replace('--config-file config.yaml verify', `verify --config-file ${config}`).split(' ')
    const { code, err } = await verify(
      ...args.filter((arg) => arg !== '--image-path' && arg !== '/var/lib/ociregistry'),
      '--image-path',
      path,
    )
    assert.deepEqual([code, err], [0, ''], example)
  }
})

const mistakes: [sentence: string, args: (path: string) => string[], message: RegExp][] = [
  ['An unknown flag', () => ['--jsn'], /--jsn: found an unknown flag, want --json/],
  ['A repair of what is incomplete', () => ['--complete', '--repair'], /--complete: found beside --repair, want one of the two/],
  ['A rate of nothing', () => ['--rate', '0'], /--rate: found "?0"?, want bytes a second such as 20MiB, more than 0/],
  ['A flag of serve', () => ['--port', '1'], /--port: found with the command verify, want it with the command serve/],
  ['A word too many', () => ['now'], /"now": found a word behind the command verify/],
  [
    'A directory that is not there',
    (path) => ['--image-path', join(path, 'none')],
    /cannot verify .*none: no such file or directory, want/,
  ],
  ['A directory that is no store', (path) => ['--image-path', join(path, 'refs')], /cannot verify .*refs: found no store in it, want/],
  ['A file', (path) => ['--image-path', join(path, 'file')], /cannot verify .*file: found no directory, want/],
  ['A configuration file that is not there', (path) => ['--config-file', join(path, 'none.yaml')], /cannot read .*none\.yaml/],
]
for (const [what, args, message] of mistakes) {
  test(`${what} is a mistake of whoever typed verify: one line, exit code 2`, async (t) => {
    const { path } = await filled(t)
    await writeFile(join(path, 'file'), '')
    const { code, out, err } = await verify(...args(path))
    assert.deepEqual([code, out], [2, ''])
    assert.match(err, /^error: [^\n]*\n$/)
    assert.match(err, message)
  })
}

/** Where images come from again. */
async function upstreamConfig(t: TestContext, path: string, more = ''): Promise<{ registry: FakeRegistry; config: string }> {
  const registry = await startFakeRegistry(t)
  const config = join(path, '..', `${path.slice(path.lastIndexOf('/') + 1)}.yaml`)
  await writeFile(config, `imagePath: ${path}\nregistries: [{name: quay.io, url: "${registry.origin}"}]\n${more}`)
  t.after(() => rm(config))
  return { registry, config }
}

async function damagedImage(t: TestContext, more = '') {
  const path = await temporaryDirectory(t)
  const { registry, config } = await upstreamConfig(t, path, more)
  const store = await DirectoryStore.open(path, new MemoryLog())
  const image = await storeImage(store, V1, { layers: [Buffer.from('one'), Buffer.from('two')] }, registry.content)
  await flipBit(blobFile(path, image.layers[0] as Digest))
  await flipBitOfManifest(recordFile(path, image.digest))
  return { path, registry, config, store, image }
}

test('verify --repair fetches what is wrong again, and the next verify finds nothing', async (t) => {
  const { path, config, image } = await damagedImage(t)
  const { code, out } = await verify('--repair', '--config-file', config)
  assert.equal(code, 0, out)
  assert.match(out, new RegExp(`^record +${image.digest} +${V1} +its bytes hash to \\S+; mended$`, 'm'))
  assert.match(out, new RegExp(`^blob +${image.layers[0]} +\\S+.*; mended$`, 'm'))
  assert.match(out, /\nwrong: 2 found, 2 no longer, 0 remaining\n$/)
  const again = await verify('--config-file', config)
  assert.deepEqual([again.code, again.err], [0, ''])
  assert.match(again.out, /images: 1 complete.*\n.*2 files in quarantine\/.*\nwrong: 0\n$/)
  assert.equal(JSON.parse(await readFile(referenceFile(path, V1), 'utf8')).digest, image.digest)
})

test('verify --repair says what remains wrong while the registry is away, and mends it when that is back', async (t) => {
  const { registry, config, image } = await damagedImage(t)
  const bytes = registry.content.manifest('team/app', 'v1')?.bytes ?? Buffer.alloc(0)
  registry.content.removeManifest('team/app', image.digest)
  registry.content.removeBlob(image.layers[0] as Digest)
  const { code, out } = await verify('--repair', '--config-file', config)
  assert.equal(code, 1)
  assert.match(out, new RegExp(`^record +${image.digest} .*; not mended: .*$`, 'm'))
  assert.match(out, /\nwrong: 2 found, 1 no longer, 1 remaining\n$/)
  assert.equal((await verify('--config-file', config)).code, 1, 'what was damaged and is needed is still wrong')
  registry.content.addManifest('team/app', 'v1', bytes)
  registry.content.addBlob('one')
  const mended = await verify('--repair', '--config-file', config)
  assert.equal(mended.code, 0, mended.out)
  assert.match((await verify('--config-file', config)).out, /images: 1 complete, 0 incomplete\n.*\nwrong: 0\n$/)
})

test('verify --repair of an air-gapped store only moves what is wrong to quarantine', async (t) => {
  const { path, registry, config } = await damagedImage(t, 'airGapped: true\n')
  const { code, out } = await verify('--repair', '--config-file', config)
  assert.equal(code, 1)
  assert.match(out, /not mended: the configuration is air-gapped: no registry is asked/)
  assert.equal(registry.ledger.requests().length, 0)
  assert.match((await verify('--image-path', path)).out, /2 files in quarantine\//)
})

test('What nothing needs is quarantined, and then nothing is wrong', async (t) => {
  const { path, store } = await filled(t)
  const lonely = blobFile(path, `sha256:${'a'.repeat(64)}` as Digest)
  await writeFile(lonely, 'no such digest')
  await writeFile(referenceFile(path, 'quay.io/x/y:1'), 'damaged')
  const { code, out } = await verify('--repair', '--image-path', path)
  assert.equal(code, 0)
  assert.match(out, /^blob +\S+ +- +\S.*; quarantined$/m)
  assert.match(out, /^reference +refs\/\S+ +- +\S.*; quarantined$/m)
  assert.ok(store)
})

test('A tag that only a damaged record names is kept with the record that is fetched again', async (t) => {
  const { path, config, image } = await damagedImage(t)
  await rm(referenceFile(path, V1))
  const { code, out } = await verify('--repair', '--config-file', config)
  assert.equal(code, 0, out)
  assert.equal(JSON.parse(await readFile(referenceFile(path, V1), 'utf8')).digest, image.digest)
})

test('verify --repair leaves a store alone that a server holds, and says that it mends itself', async (t) => {
  const { path, image } = await filled(t)
  await flipBit(blobFile(path, image.config))
  const io = new FakeIo()
  const self = { program: 'ociregistry', version: '1.2.3', pid: 7, hostname: 'edge' }
  const lock = await StoreLock.acquire(path, { self, waitMs: 0, clock: io.clock })
  t.after(() => lock.release())
  const before = await snapshot(path)
  const { code, err } = await verify('--repair', '--image-path', path)
  assert.equal(code, 2)
  assert.match(err, /^error: cannot repair: .*ociregistry 1\.2\.3 \(pid 7 on edge\).*a running server mends what is damaged itself/)
  assert.deepEqual(await snapshot(path), before)
})

test('verify opens a store that was never written to', async (t) => {
  const path = await temporaryDirectory(t)
  await mkdir(join(path, 'blobs'))
  assert.equal((await verify('--image-path', path)).code, 0)
})

test('In an older store, the tag of a record that is gone for now is not forgotten', async (t) => {
  const { path, registry, config, image } = await damagedImage(t)
  await rm(referenceFile(path, V1))
  registry.content.removeManifest('team/app', image.digest)
  const { code, out } = await verify('--repair', '--config-file', config)
  assert.equal(code, 1, out)
  const again = await verify('--config-file', config)
  assert.match(again.out, new RegExp(`^record +${image.digest} +${V1} +it is missing: it was found damaged`, 'm'))
})
