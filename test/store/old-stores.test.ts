/** Stores of the Go program, 1.7 to 1.17, opened as they are by the real server: everything is served, nothing is rewritten, nothing is lost. */
import assert from 'node:assert/strict'
import { chmod, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { makeReference, parseReference } from '../../src/oci/reference.ts'
import { amd64, docker, image, index, oci, randomLayer } from '../e2e/support/image.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import {
  directoryOf,
  generations,
  type OldManifest,
  type OldStore,
  snapshot,
  wrapper,
  writeOldBlob,
  writeOldStore,
  writeSyncthingFiles,
  writeWrapper,
} from '../support/old-store.ts'
import { entry, type ServerOptions, startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { assertBlob, assertError, assertManifest, MISS } from '../wire/answers.ts'

const REGISTRIES = ['docker.io', 'quay.io', 'registry.example:5000', 'registry.k8s.io', 'harbor:5000']

/** How a client asks for what a store calls `imageUrl`. */
function targetOf(imageUrl: string, what: 'manifests' | 'blobs' = 'manifests', reference?: string): string {
  const { registry, repository, tag, digest } = parseReference(imageUrl)
  return `/v2/${repository}/${what}/${reference ?? tag ?? digest}?ns=${registry}`
}

const nsOf = (imageUrl: string) => parseReference(imageUrl).registry

/** The server on a store, in front of one registry that stands for all of them. */
async function open(t: TestContext, path: string, upstream: FakeRegistry, options: ServerOptions = {}): Promise<TestServer> {
  return startServer(t, { imagePath: path, registries: REGISTRIES.map((name) => entry(upstream, name)), ...options })
}

/** A registry that is not there any more. */
async function gone(t: TestContext): Promise<FakeRegistry> {
  const upstream = await startFakeRegistry(t)
  await upstream.stop()
  return upstream
}

async function assertServes(server: TestServer, manifest: OldManifest): Promise<void> {
  const { imageUrl } = manifest
  const ns = nsOf(imageUrl)
  for (const target of [targetOf(imageUrl), targetOf(imageUrl, 'manifests', manifest.digest)]) {
    assertManifest(await server.get(target), manifest, { ns })
    assertManifest(await server.head(target), manifest, { ns, method: 'HEAD' })
  }
}

/** Every manifest by its tag and its digest, every blob whole and in part, and the tags of every repository. */
async function assertServesAll(server: TestServer, { manifests, blobs }: OldStore): Promise<void> {
  for (const manifest of manifests) await assertServes(server, manifest)
  for (const [digest, bytes] of blobs) {
    const target = targetOf('docker.io/library/nginx:1', 'blobs', digest)
    assertBlob(await server.get(target, { range: 'bytes=1-2' }), { digest, bytes, part: [1, 2] }, { ns: 'docker.io' })
    assertBlob(await server.get(target), { digest, bytes }, { ns: 'docker.io' })
    assertBlob(await server.head(target), { digest, bytes }, { ns: 'docker.io', method: 'HEAD' })
  }
  const app = await server.get('/v2/team/app/tags/list?ns=quay.io')
  assert.deepEqual(app.json(), { name: 'team/app', tags: ['latest', 'v1'] })
}

function troubles(server: TestServer): string[] {
  const lines = server.log.lines.filter(({ level }) => level === 'warn' || level === 'error')
  return lines.map(({ message }) => message)
}

for (const generation of generations) {
  test(`A store of ${generation} is served whole with every upstream away, again after a restart, and nothing in it is rewritten`, async (t) => {
    const path = await temporaryDirectory(t)
    const store = await writeOldStore(path, generation)
    const before = await snapshot(path)
    const upstream = await gone(t)
    const server = await open(t, path, upstream, { prefetch: true })
    assert.deepEqual(await snapshot(path), before, 'a start changes nothing')
    await assertServesAll(server, store)
    await server.stop()
    assert.deepEqual(troubles(server), [])

    const after = await snapshot(path)
    for (const [name, was] of before) {
      const now = after.get(name)
      const changed = name.startsWith('blobs/') ? { mode: 0o444, ctimeMs: now?.ctimeMs } : {}
      assert.deepEqual(now, { ...was, ...changed }, name)
    }
    const added = [...after.keys()].filter((name) => !before.has(name))
    for (const name of added) assert.match(name, /^refs\/[0-9a-f]{64}$/)

    const again = await open(t, path, upstream, { prefetch: true })
    await assertServesAll(again, store)
    await again.stop()
    assert.deepEqual(troubles(again), [])
    const atLast = await snapshot(path)
    for (const [name, was] of after) if (!name.startsWith('refs/')) assert.deepEqual(atLast.get(name), was, `${name}, after a restart`)
  })

  test(`A store of ${generation} is served whole by an air-gapped server`, async (t) => {
    const path = await temporaryDirectory(t)
    const store = await writeOldStore(path, generation)
    await assertServesAll(await open(t, path, await gone(t), { airGapped: true }), store)
  })

  test(`A store of ${generation} makes nobody ask an upstream that is there`, async (t) => {
    const path = await temporaryDirectory(t)
    const store = await writeOldStore(path, generation)
    const upstream = await startFakeRegistry(t)
    const server = await open(t, path, upstream, { prefetch: true })
    for (const manifest of store.manifests) await assertServes(server, manifest)
    for (const digest of store.blobs.keys()) assert.equal((await server.get(targetOf('quay.io/team/app:v1', 'blobs', digest))).status, 200)
    assert.equal(upstream.count(), 0)
  })
}

test('Docker Hub images of an older store are found with library/ and without, and by every way to name the registry', async (t) => {
  const path = await temporaryDirectory(t)
  const { manifests } = await writeOldStore(path, '1.8')
  const server = await open(t, path, await gone(t))
  for (const [name, tag, imageUrl] of [
    ['nginx', '1', 'docker.io/library/nginx:1'],
    ['redis', '7', 'docker.io/redis:7'],
  ]) {
    const manifest = manifests.find((one) => one.imageUrl === imageUrl) as OldManifest
    for (const repository of [name, `library/${name}`]) {
      for (const ns of ['docker.io', 'index.docker.io', 'registry-1.docker.io'])
        assertManifest(await server.get(`/v2/${repository}/manifests/${tag}?ns=${ns}`), manifest, { ns })
      assertManifest(await server.get(`/v2/docker.io/${repository}/manifests/${tag}`), manifest)
      assertManifest(await server.get(`/v2/${repository}/manifests/${tag}`), manifest)
    }
  }
})

test('Two records of one tag: the file that was written last has it, and both digests are served', async (t) => {
  for (const [generation, later] of generations.flatMap((one) => [0, 1].map((which) => [one, which] as const))) {
    const path = await temporaryDirectory(t)
    const single = image([randomLayer('both', 1000, oci.layer)])
    const list = index([single, image([randomLayer('arm', 1000, oci.layer)], { platform: { ...amd64, architecture: 'arm64' } })])
    const manifests = [list.manifest, single.manifest].map(
      ({ mediaType, bytes }): OldManifest => ({ imageUrl: 'quay.io/team/both:1', digest: digestOf(bytes), mediaType, bytes }),
    )
    const times = { created: '2025-07-20T17:15:21', pulled: '2025-07-20T17:15:21' }
    for (const [which, manifest] of manifests.entries()) {
      const text = wrapper(manifest, generation, times)
      await writeWrapper(path, directoryOf(manifest, generation), manifest.digest, text, 1_700_000_000 + (which === later ? 60 : 0))
    }
    const upstream = await gone(t)
    for (const server of [await open(t, path, upstream), await restarted(t, path, upstream)]) {
      const tagged = await server.get('/v2/team/both/manifests/1?ns=quay.io')
      assert.equal(tagged.header('docker-content-digest'), manifests[later]?.digest, `${generation}, ${later}`)
      for (const manifest of manifests) {
        const target = targetOf(manifest.imageUrl, 'manifests', manifest.digest)
        assertManifest(await server.get(target), manifest, { ns: 'quay.io' })
      }
      await server.stop()
    }
  }
})

/** Starts once, asks for nothing, stops, and starts again. */
async function restarted(t: TestContext, path: string, upstream: FakeRegistry): Promise<TestServer> {
  await (await open(t, path, upstream)).stop()
  return open(t, path, upstream)
}

const damages: readonly (readonly [what: string, text: (right: string) => string])[] = [
  ['empty', () => ''],
  ['truncated', (right) => right.slice(0, right.length / 2)],
  ['stray', () => '{"hello":"world"}'],
  ['binary', () => '\0\u0001\ufffd'.repeat(100)],
]
for (const generation of generations) {
  test(`Damaged records of ${generation} cost no more than themselves, wherever they lie`, async (t) => {
    const path = await temporaryDirectory(t)
    const store = await writeOldStore(path, generation)
    const [victim, ...rest] = store.manifests
    assert(victim !== undefined)
    const directories = [...new Set(store.manifests.map((manifest) => directoryOf(manifest, generation)))]
    for (const [turn, [, damage]] of damages.entries()) {
      const first = `sha256:${String(turn).repeat(64)}` as Digest // the Go program stops there, and reads nothing that comes later
      for (const directory of directories) await writeWrapper(path, directory, first, damage(wrapper(victim, generation, {})), 0)
    }
    for (const directory of directories) await writeFile(join(path, directory, 'README'), 'not a record')
    const text = wrapper(victim, generation, {})
    await writeWrapper(path, directoryOf(victim, generation), victim.digest, text.slice(0, text.length - 20), 0)

    const server = await open(t, path, await gone(t))
    for (const manifest of rest) await assertServes(server, manifest)
    assertError(await server.get(targetOf(victim.imageUrl)), 502, 'UNAVAILABLE', { ns: nsOf(victim.imageUrl) })
    assert.equal(troubles(server).filter((message) => /quarantine/.test(message)).length, damages.length * directories.length + 1)
    const files = await server.files()
    for (const directory of directories) assert.ok(files.includes(`${directory}/README`))
    assert.equal(files.filter((name) => name.startsWith('quarantine/')).length, damages.length * directories.length + 1)
    await server.stop()

    const upstream = await startFakeRegistry(t)
    const { repository, tag } = parseReference(victim.imageUrl)
    upstream.addManifest(repository, tag, victim.bytes, victim.mediaType)
    const mended = await open(t, path, upstream)
    assertManifest(await mended.get(targetOf(victim.imageUrl)), victim, { ns: nsOf(victim.imageUrl), cache: MISS })
    for (const manifest of rest) await assertServes(mended, manifest)
  })
}

/** An old store whose base layer is larger than what is held back, and whose `small` layers are not. */
async function withDamagedBlob(t: TestContext, size: 'large' | 'small', damage: (right: Buffer) => Buffer) {
  const path = await temporaryDirectory(t)
  const store = await writeOldStore(path, '1.8')
  const found = [...store.blobs].find(([, { length }]) => length > 64 * 1024 === (size === 'large') && length > 1000)
  assert(found !== undefined)
  const [digest, bytes] = found
  await writeOldBlob(path, digest, damage(bytes))
  return { path, store, digest, bytes, target: targetOf('docker.io/library/nginx:1', 'blobs', digest) }
}

/** Undefined while there is no such blob. */
async function modeOf(path: string, digest: Digest): Promise<number | undefined> {
  const stats = await stat(join(path, 'blobs', digest.slice('sha256:'.length))).catch(() => undefined)
  return stats === undefined ? undefined : stats.mode & 0o7777
}

function flipped(right: Buffer): Buffer {
  const wrong = Buffer.from(right)
  wrong[right.length >> 1] = (wrong[right.length >> 1] ?? 0) ^ 1
  return wrong
}

const blobDamages: readonly (readonly [what: string, size: 'large' | 'small', damage: (right: Buffer) => Buffer, endsShort: boolean])[] = [
  ['a large blob that is cut', 'large', (right) => right.subarray(0, right.length - 10_000), false],
  ['a small blob that is cut', 'small', (right) => right.subarray(0, 100), false],
  ['an empty blob', 'small', () => Buffer.alloc(0), false],
  ['a blob with a byte too many', 'large', (right) => Buffer.concat([right, Buffer.alloc(1)]), false],
  ['a large blob of the right length with wrong bytes', 'large', flipped, true],
  ['a small blob of the right length with wrong bytes', 'small', flipped, false],
]
for (const [what, size, damage, endsShort] of blobDamages) {
  test(`Of an older store, ${what} never leaves complete, and is an honest error while the upstream is away`, async (t) => {
    const { path, store, digest, bytes, target } = await withDamagedBlob(t, size, damage)
    const server = await open(t, path, await gone(t))
    const [first, second] = [await server.get(target), await server.get(target)]
    if (endsShort) {
      assert.equal(first.complete, false)
      assert.ok(first.body.length <= bytes.length - 64 * 1024)
    } else assertError(first, 502, 'UNAVAILABLE', { ns: 'docker.io' })
    assertError(second, 502, 'UNAVAILABLE', { ns: 'docker.io' })
    const quarantined = (await server.files()).filter((name) => name.startsWith('quarantine/'))
    assert.equal(quarantined.length, 1)
    assert.deepEqual(await readFile(join(path, quarantined[0] ?? '')), damage(bytes))
    for (const manifest of store.manifests) await assertServes(server, manifest)
    for (const [other, right] of store.blobs)
      if (other !== digest)
        assertBlob(await server.get(targetOf('docker.io/redis:7', 'blobs', other)), { digest: other, bytes: right }, { ns: 'docker.io' })
  })

  test(`Of an older store, ${what} is fetched again while the upstream is there`, async (t) => {
    const { path, digest, bytes, target } = await withDamagedBlob(t, size, damage)
    const upstream = await startFakeRegistry(t)
    upstream.addBlob(bytes)
    const server = await open(t, path, upstream)
    const first = await server.get(target)
    if (endsShort) assert.equal(first.complete, false)
    else assertBlob(first, { digest, bytes }, { ns: 'docker.io', cache: MISS })
    assert.deepEqual((await server.get(target)).body, bytes)
    await until(async () => (await modeOf(path, digest)) === 0o444, 'it is stored')
    assertBlob(await server.get(target), { digest, bytes }, { ns: 'docker.io' })
    assert.equal(upstream.count({ kind: 'blob', method: 'GET' }), 1)
    await server.stop()
    await upstream.stop()
    const again = await open(t, path, upstream)
    assertBlob(await again.get(target), { digest, bytes }, { ns: 'docker.io' })
  })
}

test('A record with wrong bytes is never served: from the upstream if that is there, else an honest error', async (t) => {
  for (const there of [true, false]) {
    const path = await temporaryDirectory(t)
    const { manifests } = await writeOldStore(path, '1.8')
    const victim = manifests.find(({ imageUrl }) => imageUrl === 'quay.io/team/app:v1') as OldManifest
    const wrong = { ...victim, bytes: Buffer.from(victim.bytes.toString().replace('"schemaVersion":2', '"schemaVersion":2,"x":1')) }
    await writeWrapper(path, 'img', victim.digest, wrapper(wrong, '1.8', {}), 0)
    const upstream = await startFakeRegistry(t)
    upstream.addManifest('team/app', 'v1', victim.bytes, victim.mediaType)
    if (!there) await upstream.stop()
    const server = await open(t, path, upstream)
    const answer = await server.get(targetOf(victim.imageUrl))
    if (there) assertManifest(answer, victim, { ns: 'quay.io', cache: MISS })
    else assertError(answer, 502, 'UNAVAILABLE', { ns: 'quay.io' })
    assert.equal((await server.files()).filter((name) => name.startsWith('quarantine/')).length, 1)
  }
})

test('A directory that Syncthing replicates is served in the middle of a change, and completes while the server runs', async (t) => {
  const [source, path] = [await temporaryDirectory(t), await temporaryDirectory(t)]
  await writeOldStore(source, '1.9')
  const store = await writeOldStore(path, '1.9')
  const late = store.manifests.find(({ imageUrl }) => imageUrl === 'registry.example:5000/deep/app:2') as OldManifest
  const layers = (JSON.parse(late.bytes.toString()) as { layers: { digest: Digest }[] }).layers.map(({ digest }) => digest)
  const nameOf = (digest: Digest) => digest.slice('sha256:'.length)
  for (const digest of layers) await rm(join(path, 'blobs', nameOf(digest))) // the record has arrived, its layers have not
  await writeSyncthingFiles(path, 'img', nameOf(late.digest), wrapper(late, '1.9', {}))
  await writeSyncthingFiles(path, 'blobs', nameOf(layers[0] as Digest), 'half a layer')
  const foreign = [...(await snapshot(path))].filter(([name]) => /\.st|\.syncthing\.|sync-conflict/.test(name))
  assert.equal(foreign.length, 7)

  const server = await open(t, path, await gone(t))
  for (const manifest of store.manifests) await assertServes(server, manifest)
  for (const digest of layers)
    assertError(await server.get(targetOf(late.imageUrl, 'blobs', digest)), 502, 'UNAVAILABLE', { ns: nsOf(late.imageUrl) })
  for (const digest of layers) await arrive(path, nameOf(digest), await readFile(join(source, 'blobs', nameOf(digest))))
  await assertServesAll(server, store)
  const after = await snapshot(path)
  for (const [name, was] of foreign) assert.deepEqual(after.get(name), was, name)
  assert.deepEqual(
    [...after.keys()].filter((name) => name.startsWith('quarantine/')),
    [],
  )
})

/** Syncthing writes beside, and renames. */
async function arrive(path: string, name: string, bytes: Buffer, mode = 0o644): Promise<void> {
  const temporary = join(path, 'blobs', `.syncthing.${name}.arriving.tmp`)
  await writeFile(temporary, bytes)
  await chmod(temporary, mode)
  await rename(temporary, join(path, 'blobs', name))
}

for (const size of ['large', 'small'] as const) {
  test(`A ${size} blob that was verified and is then replaced by a file with other bytes is hashed again, and they never leave complete`, async (t) => {
    const { path, digest, bytes, target } = await withDamagedBlob(t, size, (right) => right)
    const name = digest.slice('sha256:'.length)
    const server = await open(t, path, await gone(t))
    assertBlob(await server.get(target), { digest, bytes }, { ns: 'docker.io' })
    await arrive(path, name, flipped(bytes))
    const bad = await server.get(target)
    assert.ok(bad.status === 502 || !bad.complete || bad.body.equals(bytes), 'wrong bytes left complete')
    await arrive(path, name, bytes)
    assertBlob(await server.get(target), { digest, bytes }, { ns: 'docker.io' })
    assert.equal(await modeOf(path, digest), 0o444)
  })
}

test('A record that arrives while the server runs is served by its digest at once, and by its tag after a restart', async (t) => {
  const path = await temporaryDirectory(t)
  await writeOldStore(path, '1.8')
  const upstream = await gone(t)
  const server = await open(t, path, upstream)
  const bytes = image([randomLayer('new', 1000, docker.layer)], { dialect: docker }).manifest.bytes
  const manifest = { imageUrl: 'quay.io/team/new:1', digest: digestOf(bytes), mediaType: docker.manifest, bytes }
  await writeWrapper(path, 'img', manifest.digest, wrapper(manifest, '1.8', {}), 1_700_000_000)
  const byDigest = targetOf(manifest.imageUrl, 'manifests', manifest.digest)
  assertManifest(await server.get(byDigest), manifest, { ns: 'quay.io' })
  await server.stop()
  await assertServes(await open(t, path, upstream), manifest)
})

test('A tag that the Go program moved after this one ran is where that program left it', async (t) => {
  const path = await temporaryDirectory(t)
  const { manifests } = await writeOldStore(path, '1.8')
  const before = manifests.find(({ imageUrl }) => imageUrl === 'quay.io/team/app:v1') as OldManifest
  const upstream = await gone(t)
  const first = await open(t, path, upstream)
  await assertServes(first, before)
  await first.stop() // its references are on disk now
  await rm(join(path, 'img', before.digest.slice('sha256:'.length)))
  const bytes = image([randomLayer('moved', 1000, docker.layer)], { dialect: docker }).manifest.bytes
  const moved = { ...before, digest: digestOf(bytes), bytes }
  await writeWrapper(path, 'img', moved.digest, wrapper(moved, '1.8', {}), Date.now() / 1000 + 60)
  await assertServes(await open(t, path, upstream), moved)
})

test('An older store is added to by this program, and keeps what it had', async (t) => {
  const path = await temporaryDirectory(t)
  const store = await writeOldStore(path, '1.9')
  const before = await snapshot(path)
  const upstream = await startFakeRegistry(t)
  const added = upstream.addImage('team/app', 'v2')
  const server = await open(t, path, upstream)
  for (const target of ['manifests/v2', ...added.layers.map((digest) => `blobs/${digest}`)])
    assert.equal((await server.get(`/v2/team/app/${target}?ns=quay.io`)).status, 200)
  await server.settled()
  await server.stop()
  await upstream.stop()
  const again = await open(t, path, upstream)
  for (const manifest of store.manifests) await assertServes(again, manifest)
  const reference = makeReference(parseReference('quay.io/team/app:v2').registry, 'team/app', 'v2')
  assert.equal(
    (await again.get(targetOf(`${reference.registry}/${reference.repository}:v2`))).header('docker-content-digest'),
    added.digest,
  )
  const after = await snapshot(path)
  for (const [name, was] of before) assert.deepEqual(after.get(name), was, name)
})
