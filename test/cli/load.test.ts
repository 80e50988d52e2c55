import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { findCommand } from '../../src/cli/commands.ts'
import { run } from '../../src/cli/run.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { StoreLock } from '../../src/store/lock.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { hangAt } from '../support/fake-registry-faults.ts'
import { temporaryDirectory } from '../support/files.ts'
import { entry, startServer } from '../support/server.ts'
import { blobFile } from '../support/stored-image.ts'
import { FakeIo, settled } from './fake-io.ts'

const PLATFORMS = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }))
const SELF = { program: 'ociregistry', version: '1.2.3', pid: 7, hostname: 'edge' }

type Ground = { readonly path: string; readonly list: string; readonly config: string; readonly registry: FakeRegistry }

/** An empty store, a registry, and a configuration that knows it as quay.io. */
async function ground(t: TestContext, list: string, more = ''): Promise<Ground> {
  const directory = await temporaryDirectory(t)
  const registry = await startFakeRegistry(t)
  const [path, file, config] = [join(directory, 'images'), join(directory, 'list.txt'), join(directory, 'config.yaml')]
  await writeFile(file, list)
  await writeFile(
    config,
    `imagePath: ${path}\nimageFile: ${file}\nregistries: [{name: quay.io, aliases: [q], url: "${registry.origin}"}]\n${more}`,
  )
  return { path, list: file, config, registry }
}

type Ran = { readonly code: number; readonly out: string; readonly err: string }

async function load(config: string, ...args: readonly string[]): Promise<Ran> {
  const io = new FakeIo()
  const code = await inTime(io, run(['load', '--config-file', config, ...args], io))
  return { code, out: io.out, err: io.err }
}

/** Lets time pass as it does: a clock that runs ahead makes a disk look slow. */
async function inTime<T>(io: FakeIo, work: Promise<T>): Promise<T> {
  let isOver = false
  const done = () => {
    isOver = true
  }
  work.then(done, done)
  for (let before = performance.now(); !isOver; ) {
    await settled()
    const now = performance.now()
    await io.clock.advance(now - before)
    before = now
  }
  return work
}

function addMulti({ content }: FakeRegistry, repository: string) {
  const images = PLATFORMS.map((platform) => content.addImage(repository, undefined, { config: { repository, ...platform } }))
  const index = content.addIndex(
    repository,
    '1',
    images.map(({ digest }, i) => ({ digest, platform: PLATFORMS[i] })),
  )
  return { images, index }
}

test('load brings images of a list into a new store: a line for each, a table, exit code 0; again, nothing is asked for', async (t) => {
  const { config, registry } = await ground(t, '# two\nquay.io/team/app:1\nq/team/tool\n')
  addMulti(registry, 'team/app')
  registry.addImage('team/tool', 'latest', { layers: [Buffer.alloc(2048, 'x')] })
  const first = await load(config)
  assert.equal(first.code, 0, first.err)
  assert.match(first.err, /^loaded: quay\.io\/team\/app:1 \(\d+ bytes fetched\)\n/m)
  const rows = first.out.split('\n')
  assert.match(rows[0] ?? '', /^IMAGE +RESULT +SIZE +FETCHED +REMARKS$/)
  assert.match(rows[1] ?? '', /^quay\.io\/team\/app:1 +loaded +\d+ bytes +\d+ bytes$/)
  assert.match(rows[2] ?? '', /^quay\.io\/team\/tool:latest +loaded +2\.\d KiB +2\.\d KiB$/)
  assert.match(first.out, /\n\nimages: 2 loaded, 0 complete before; 2\.\d KiB fetched, 0 bytes were there\n$/)
  const asked = registry.ledger.requests().length
  const second = await load(config)
  assert.equal(second.code, 0)
  assert.match(second.out, /^quay\.io\/team\/app:1 +complete +\d+ bytes +-$/m)
  assert.match(second.out, /\nimages: 0 loaded, 2 complete before; 0 bytes fetched, 2\.\d KiB were there\n$/)
  assert.equal(registry.ledger.requests().length, asked)
})

test('What was loaded is served air-gapped, by tag and by the digest of the index, for the wanted platforms', async (t) => {
  const { config, registry, path } = await ground(t, 'quay.io/team/app:1\n')
  const { images, index } = addMulti(registry, 'team/app')
  const [amd, arm] = images
  assert.equal((await load(config, '--platform', 'linux/amd64')).code, 0)
  const server = await startServer(t, { imagePath: path, registries: [entry(registry, 'quay.io')], airGapped: true })
  const get = (target: string) => server.get(`/v2/team/app/${target}?ns=quay.io`)
  for (const target of ['1', index]) {
    const answer = await get(`manifests/${target}`)
    assert.deepEqual([answer.status, answer.header('docker-content-digest')], [200, index])
  }
  assert.equal((await get(`manifests/${amd?.digest}`)).status, 200)
  for (const blob of [amd?.config, ...(amd?.layers ?? [])]) assert.equal((await get(`blobs/${blob}`)).status, 200)
  const absent = await get(`manifests/${arm?.digest}`)
  assert.equal(absent.status, 404)
  assert.match(absent.body.toString(), /linux\/arm64 of quay\.io\/team\/app \(sha256:\S+\) is not cached; cached are linux\/amd64/)
})

test('One bad image stops no other: the table says why, exit code 1, and the next run mends it', async (t) => {
  const { config, list, registry } = await ground(t, 'quay.io/team/app:1\nNot Good\nquay.io/team/late:1\n')
  addMulti(registry, 'team/app')
  const first = await load(config)
  assert.equal(first.code, 1)
  assert.match(first.out, /^quay\.io\/team\/app:1 +loaded/m)
  assert.match(first.out, new RegExp(`^Not Good +failed +- +- +'Not Good' is not a repository name.* \\(${list}:2\\)$`, 'm'))
  assert.match(first.out, new RegExp(`^quay\\.io/team/late:1 +failed +- +- +.*\\(${list}:3\\)$`, 'm'))
  assert.match(first.out, /\nimages: 1 loaded, 0 complete before, 2 failed; .*\nrun it again to load the rest: .*\n$/)
  registry.addImage('team/late', '1')
  await writeFile(list, 'quay.io/team/app:1\nquay.io/team/late:1\n')
  const second = await load(config)
  assert.equal(second.code, 0)
  assert.match(second.out, /\nimages: 1 loaded, 1 complete before; /)
})

test('load fetches again what is broken in the store', async (t) => {
  const { config, path, registry } = await ground(t, 'quay.io/team/app:1\n')
  const { layers } = registry.addImage('team/app', '1', { layers: [Buffer.alloc(100_000, 'x')] })
  await load(config)
  await truncate(blobFile(path, layers[0] as Digest), 10)
  const { code, out } = await load(config)
  assert.equal(code, 0)
  assert.match(out, /^quay\.io\/team\/app:1 +loaded/m)
  assert.equal((await readFile(blobFile(path, layers[0] as Digest))).byteLength, 100_000)
})

test('load --json prints one document', async (t) => {
  const { config, path, list, registry } = await ground(t, 'quay.io/team/app:1\nquay.io/team/none:1\n')
  const image = registry.addImage('team/app', '1')
  const { code, out } = await load(config, '--json')
  const document = JSON.parse(out)
  assert.deepEqual([code, document.store, document.loaded, document.complete, document.failed, document.stopped], [1, path, 1, 0, 1, 0])
  const [loaded, failed] = document.images
  assert.deepEqual(
    { ...loaded, totalBytes: 0, fetchedBytes: 0 },
    {
      image: 'quay.io/team/app:1',
      list,
      line: 1,
      result: 'loaded',
      digest: image.digest,
      warnings: [],
      totalBytes: 0,
      presentBytes: 0,
      fetchedBytes: 0,
    },
  )
  assert.deepEqual([failed.result, failed.line], ['failed', 2])
  assert.match(failed.why, /team\/none/)
})

test('On a terminal load draws how far it is, not more than five times a second, and leaves the table alone', async (t) => {
  const { config, registry } = await ground(t, 'quay.io/team/app:1\n')
  registry.addImage('team/app', '1', { layers: [Buffer.alloc(300_000, 'x')] })
  const io = new FakeIo()
  io.columns = 60
  assert.equal(await inTime(io, run(['load', '--config-file', config], io)), 0)
  const frames = io.err.split('\u001b[J')
  assert.ok(frames.length > 1, 'it was drawn')
  assert.ok(frames.length <= io.clock.monotonic() / 200 + 2, `${frames.length} frames in ${io.clock.monotonic()} ms`)
  assert.match(frames[0] ?? '', /0 of 1 images/)
  assert.equal(frames.at(-1), '', 'in the end all that was drawn is gone')
  for (const frame of frames) for (const line of frame.split('\n').slice(0, -1)) assert.ok(line.length < 60, line)
  assert.match(io.out, /^IMAGE +RESULT/)
})

test('Ctrl-C stops load: what was not loaded is said, exit code 1, and the next run goes on', async (t) => {
  const { config, path, registry } = await ground(t, 'quay.io/team/app:1\nquay.io/team/big:1\n')
  registry.addImage('team/app', '1')
  const { layers } = registry.addImage('team/big', '1', { layers: [Buffer.alloc(3_000_000, 'x')] })
  const [layer] = layers as [Digest]
  const fault = registry.fault({ match: { digest: layer }, do: [hangAt(2_000_000)] })
  const io = new FakeIo()
  const code = run(['load', '--config-file', config], io)
  for (const began = performance.now(); performance.now() - began < 20_000; await settled()) {
    const [spool] = await readdir(join(path, 'pulls')).catch(() => [])
    if (spool !== undefined && io.err.includes('team/app')) break
  }
  await io.signal()
  assert.equal(await code, 1)
  assert.match(io.out, /^quay\.io\/team\/app:1 +loaded/m)
  assert.match(io.out, /^quay\.io\/team\/big:1 +not loaded/m)
  assert.match(io.out, /\nimages: 1 loaded, 0 complete before, 1 not loaded; /)
  assert.equal(io.listeners, 0)
  fault.remove()
  const second = await load(config, '--json')
  assert.equal(second.code, 0)
  const [, again] = registry.ledger.requests({ digest: layer })
  const [, offset] = /^bytes=([1-9]\d*)-/.exec(again?.headers.range ?? '') ?? []
  assert.ok(offset !== undefined, 'it went on where it stopped')
  const [, big] = JSON.parse(second.out).images
  assert.ok(big.presentBytes >= Number(offset), `what lay there was not fetched: ${JSON.stringify(big)}`)
})

test('The help of load has examples that work', async (t) => {
  const { config, list, path, registry } = await ground(t, 'quay.io/team/app:1\n')
  addMulti(registry, 'team/app')
  const { examples } = findCommand('load')
  assert.ok(examples.length >= 2)
  for (const example of examples) {
    const args = example
      .replace('- < images.txt', 'images.txt') // what the process is given on standard input is another test's
      .replace('/var/lib/ociregistry', path)
      .replace('images.txt', list)
      .replace("'base.txt,lists/*.txt'", list)
      .split(' ')
    const { code, err } = await load(config, ...args.filter((arg, i) => i > 0 && !['load', '--config-file', 'config.yaml'].includes(arg)))
    assert.equal(code, 0, `${example}: ${err}`)
  }
})

const mistakes: [sentence: string, args: readonly string[], message: RegExp, more?: string][] = [
  ['No list', ['--image-file', ''], /--image-file: found nothing, want a list of images/],
  ['A list that is not there', ['--image-file', 'none.txt'], /--image-file: no files matched "none\.txt"/],
  ['An air-gapped configuration', [], /cannot load: the configuration is air-gapped/, 'airGapped: true'],
  ['An air-gapped command line', ['--air-gapped'], /cannot load: the configuration is air-gapped/],
  ['A platform that is none', ['--platform', 'linux'], /--platform: found "?linux"?, want/],
  ['No images at a time', ['--concurrency', '0'], /--concurrency: found "?0"?, want/],
  [
    'A place where no store can be made',
    ['--image-path', '/proc/none'],
    /cannot load: \/proc\/none: .*choose another directory with --image-path/,
  ],
  ['A file in place of a store', ['--image-path', '/dev/null'], /cannot load: \/dev\/null: /],
  ['A flag of serve', ['--port', '1'], /--port: found with the command load, want it with the command serve/],
]
for (const [what, args, message, more] of mistakes) {
  test(`${what} is a mistake of whoever typed load: one line, exit code 1`, async (t) => {
    const { config, list } = await ground(t, 'quay.io/team/app:1\n', more)
    if (what === 'No list') await writeFile(config, (await readFile(config, 'utf8')).replace(`imageFile: ${list}\n`, ''))
    const { code, out, err } = await load(config, ...args)
    assert.deepEqual([code, out], [1, ''])
    assert.match(err, /^error: [^\n]*\n$/)
    assert.match(err, message)
  })
}

test('load leaves a store alone that a server holds, and says what to do in its place', async (t) => {
  const { config, path } = await ground(t, 'quay.io/team/app:1\n')
  const io = new FakeIo()
  await mkdir(path)
  const lock = await StoreLock.acquire(path, { self: SELF, waitMs: 0, clock: io.clock })
  t.after(() => lock.release())
  const { code, err } = await load(config)
  assert.equal(code, 1)
  assert.match(err, /^error: cannot load: .*ociregistry 1\.2\.3 \(pid 7 on edge\).*POST \/cmd\/prefetch.*serve --preload-images\n$/)
})

test('An empty list loads nothing, and that is no failure', async (t) => {
  const { config } = await ground(t, '# nothing yet\n')
  const { code, out } = await load(config)
  assert.deepEqual([code, out], [0, 'images: 0 loaded, 0 complete before; 0 bytes fetched, 0 bytes were there\n'])
})
