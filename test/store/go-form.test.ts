/** The way back: what this program stores, the Go program reads, lists and serves. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { formatLocalTime } from '../../src/store/record.ts'
import { amd64, arm64, type Content, docker, type Image, image, index, oci, randomLayer } from '../e2e/support/image.ts'
import { ManualClock } from '../support/clock.ts'
import { exampleIn } from '../support/documents.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import { DIRECTORIES, readAsOldProgram } from '../support/old-reader.ts'
import { directoryOf, type OldManifest, wrapper, writeOldStore } from '../support/old-store.ts'
import { entry, startServer } from '../support/server.ts'

process.env.TZ = 'Europe/Berlin'

const SUMMER = new ManualClock(Date.UTC(2026, 6, 1, 22, 30, 5))
const TIMES = { created: '2026-07-02T00:30:05', pulled: '2026-07-02T00:30:05' }

const BACK_TO_1_8 = await exampleIn('docs/moving.md', 'sh', /^node -e '$/m)
const ON_TO_1_9 = await exampleIn('docs/moving.md', 'sh', /^mkdir -p lts$/m)

function sh(path: string, script: string): void {
  const { status, stderr } = spawnSync('sh', ['-c', script], { cwd: path, encoding: 'utf8', env: { PATH: process.env.PATH } })
  assert.equal(status, 0, stderr)
  assert.equal(stderr, '')
}

type Pushed = { readonly reference: string; readonly images: readonly Image[]; readonly manifest: Content }

const layer = (name: string, dialect = oci) => randomLayer(name, 1000, dialect.layer)
const single = (reference: string, made: Image): Pushed => ({ reference, images: [made], manifest: made.manifest })

function content(): Pushed[] {
  const of = (name: string, dialect: typeof oci) =>
    index(
      [amd64, arm64].map((platform) => image([layer(`${name} ${platform.architecture}`, dialect)], { dialect, platform })),
      dialect,
    )
  return [
    { reference: 'docker.io/library/nginx:1', ...of('nginx', oci) },
    { reference: 'docker.io/library/nginx:latest', ...of('latest', docker) },
    { reference: 'quay.io/team/list:1', ...of('list', docker) },
    single('quay.io/team/app:v1', image([layer('app', docker)], { dialect: docker })),
    single('registry.example:5000/a/b/c:latest', image([layer('c')], { annotations: { note: '<b>&\u2028é' } })),
  ]
}

/** A store that the real server filled by being asked. */
async function filled(t: TestContext, pushed: readonly Pushed[]): Promise<string> {
  const path = await temporaryDirectory(t)
  const upstream = await startFakeRegistry(t)
  const names = ['docker.io', 'quay.io', 'registry.example:5000', 'harbor:5000']
  const server = await startServer(t, { imagePath: path, clock: SUMMER, registries: names.map((name) => entry(upstream, name)) })
  const ask = async (target: string) => assert.equal((await server.get(target)).status, 200, target)
  for (const one of pushed) {
    const { images, manifest } = one
    const { registry, repository, tag } = partsOf(one)
    upstream.addManifest(repository, tag, manifest.bytes, manifest.mediaType)
    await ask(`/v2/${repository}/manifests/${tag}?ns=${registry}`)
    for (const { manifest: child, blobs } of images) {
      upstream.addManifest(repository, undefined, child.bytes, child.mediaType)
      await ask(`/v2/${repository}/manifests/${child.digest}?ns=${registry}`)
      for (const blob of blobs) {
        upstream.addBlob(blob.bytes)
        await ask(`/v2/${repository}/blobs/${blob.digest}?ns=${registry}`)
      }
    }
  }
  await server.settled()
  await server.stop()
  return path
}

/** What the Go program would have: the tag first, then the images of a list by digest. */
function manifestsOf({ reference, images, manifest }: Pushed): OldManifest[] {
  const of = ({ mediaType, bytes }: Content, imageUrl: string): OldManifest => ({ imageUrl, digest: digestOf(bytes), mediaType, bytes })
  const children = images.filter((one) => one.manifest.digest !== manifest.digest)
  return [of(manifest, reference), ...children.map((one) => of(one.manifest, reference.replace(/:[^:/]+$/, `@${one.manifest.digest}`)))]
}

test('A record is what the Go program writes for the same manifest, to the byte, and three keys more', async (t) => {
  const pushed = content()
  const path = await filled(t, pushed)
  for (const manifest of pushed.flatMap(manifestsOf)) {
    const text = await readFile(join(path, directoryOf(manifest, '1.8'), manifest.digest.slice('sha256:'.length)), 'utf8')
    const [, registry = '', repository = ''] = /^([^/]+)\/([^:@]+)/.exec(manifest.imageUrl) ?? []
    const more = JSON.stringify({ mediaType: manifest.mediaType, registry, repository })
    const wanted = wrapper(manifest, '1.8', TIMES).replaceAll('\u2028', '\\u2028')
    assert.equal(text, `${wanted.slice(0, -1)},${more.slice(1)}`)
  }
})

test('A store of ours is listed and served whole by the Go program up to 1.8, as it is', async (t) => {
  const pushed = content()
  const path = await filled(t, pushed)
  const { served, rows, incomplete } = readAsOldProgram(path, DIRECTORIES['1.8'])
  assert.deepEqual(incomplete, [])
  const manifests = pushed.flatMap(manifestsOf)
  for (const { imageUrl, digest } of manifests) assert.equal(served.get(imageUrl), digest.slice('sha256:'.length), imageUrl)
  const wanted = manifests.map(({ imageUrl, mediaType }) => ({ url: imageUrl, kind: kindOf(mediaType), ...TIMES }))
  assert.deepEqual(sorted(rows), sorted(wanted))
})

test('A store of ours is listed and served whole by the Go program from 1.9 on, after the documented commands', async (t) => {
  const pushed = content()
  const path = await filled(t, pushed)
  sh(path, BACK_TO_1_8)
  sh(path, ON_TO_1_9)
  const { served, rows, incomplete } = readAsOldProgram(path, DIRECTORIES['1.9'])
  assert.deepEqual(incomplete, [])
  const manifests = pushed.flatMap(manifestsOf)
  for (const { imageUrl, digest } of manifests) assert.equal(served.get(imageUrl), digest.slice('sha256:'.length), imageUrl)
  assert.equal(rows.length, manifests.length)
  assert.deepEqual(
    rows.slice(0, 2).map(({ url }) => url.split(':').at(-1)),
    ['latest', 'latest'],
    'they lie in lts',
  )
})

test('Going back to 1.9 with a store that came from there, latest is where it has moved to, and nowhere else', async (t) => {
  const before = single('quay.io/team/moved:latest', image([layer('before')]))
  const after = single('quay.io/team/moved:latest', image([layer('after')]))
  const path = await filled(t, [before, single('quay.io/team/app:1', image([layer('good')]))])
  sh(path, BACK_TO_1_8)
  sh(path, ON_TO_1_9)
  await moveTag(t, path, after)
  sh(path, BACK_TO_1_8)
  sh(path, ON_TO_1_9)
  const { served, rows } = readAsOldProgram(path, DIRECTORIES['1.9'])
  assert.equal(served.get('quay.io/team/moved:latest'), after.manifest.digest.slice('sha256:'.length))
  assert.deepEqual(
    rows.filter(({ url }) => url.endsWith(':latest')).map(({ url }) => url),
    ['quay.io/team/moved:latest'],
  )
})

test('Going back, what the Go program does not start with is put aside, and a tag that has moved is where it is now', async (t) => {
  const before = single('quay.io/team/moved:latest', image([layer('before')]))
  const after = single('quay.io/team/moved:latest', image([layer('after')]))
  const others = [
    single('harbor:5000/team/app:1', image([layer('host without a dot')])),
    single('quay.io/team.x/app:1', image([layer('repository with a dot')])),
  ]
  const good = single('quay.io/team/app:1', image([layer('good')]))
  const byDigest = single('quay.io/team/late:1', image([layer('by digest first')]))
  const path = await filled(t, [before, ...others, good])
  await pullByDigestFirst(t, path, byDigest)
  await moveTag(t, path, after)
  assert.throws(() => readAsOldProgram(path, DIRECTORIES['1.8']), /does not start/)
  sh(path, BACK_TO_1_8)
  const { served, rows } = readAsOldProgram(path, DIRECTORIES['1.8'])
  const hex = ({ manifest }: Pushed) => manifest.digest.slice('sha256:'.length)
  assert.equal(served.get(good.reference), hex(good))
  assert.equal(served.get('quay.io/team/moved:latest'), hex(after))
  assert.equal(served.get(byDigest.reference), hex(byDigest), 'its record named the digest only')
  assert.equal(served.get(`quay.io/team/moved@${before.manifest.digest}`), hex(before))
  assert.equal(rows.length, 4)
  const again = await startServer(t, { imagePath: path, airGapped: true })
  for (const one of [good, after, byDigest]) {
    const { repository, tag } = partsOf(one)
    const answer = await again.get(`/v2/${repository}/manifests/${tag}?ns=quay.io`)
    assert.equal(answer.header('docker-content-digest'), one.manifest.digest, 'and this program reads it again')
  }
})

/** The tag moves upstream, and the server follows: two records name it then. */
async function moveTag(t: TestContext, path: string, pushed: Pushed): Promise<void> {
  const { tag } = partsOf(pushed)
  await pullAgain(t, path, pushed, [`manifests/${tag}`])
}

/** The record names no tag then. */
async function pullByDigestFirst(t: TestContext, path: string, pushed: Pushed): Promise<void> {
  const { tag } = partsOf(pushed)
  await pullAgain(t, path, pushed, [`manifests/${pushed.manifest.digest}`, `manifests/${tag}`])
}

async function pullAgain(t: TestContext, path: string, pushed: Pushed, targets: readonly string[]): Promise<void> {
  const { repository, tag } = partsOf(pushed)
  const upstream = await startFakeRegistry(t)
  upstream.addManifest(repository, tag, pushed.manifest.bytes, pushed.manifest.mediaType)
  const blobs = pushed.images.flatMap((one) => one.blobs)
  for (const { bytes } of blobs) upstream.addBlob(bytes)
  const registries = [entry(upstream, 'quay.io')]
  const server = await startServer(t, { imagePath: path, registries, clock: SUMMER, alwaysPullLatest: true })
  for (const target of [...targets, ...blobs.map(({ digest }) => `blobs/${digest}`)])
    assert.equal((await server.get(`/v2/${repository}/${target}?ns=quay.io`)).status, 200)
  await server.settled()
  await server.stop()
}

function partsOf({ reference }: Pushed): { registry: string; repository: string; tag: string } {
  const [, registry = '', repository = '', tag = ''] = /^([^/]+)\/(.+):([^:]+)$/.exec(reference) ?? []
  return { registry, repository, tag }
}

test('An older store that was served by this program is still the one that the Go program left', async (t) => {
  for (const [generation, directories] of [
    ['1.8', DIRECTORIES['1.8']],
    ['1.9', DIRECTORIES['1.9']],
  ] as const) {
    const path = await temporaryDirectory(t)
    const { manifests } = await writeOldStore(path, generation)
    sh(path, `grep -l '"IMAGEURL"' img/* | xargs -r rm`) // the one with keys in upper case names a host that no start survives
    const before = readAsOldProgram(path, directories)
    const server = await startServer(t, { imagePath: path, airGapped: true })
    for (const { digest } of manifests) await server.get(`/v2/library/nginx/manifests/${digest as Digest}`)
    await server.stop()
    assert.deepEqual(readAsOldProgram(path, directories), before)
    assert.ok(before.rows.length > 10)
  }
})

test('Times are written as the wall clock shows them, which is how the Go program reads them', () => {
  assert.equal(formatLocalTime(SUMMER.now()), TIMES.created)
})

function kindOf(mediaType: string): 'list' | 'image' {
  return mediaType === oci.index || mediaType === docker.index ? 'list' : 'image'
}

function sorted<T extends { readonly url: string }>(rows: readonly T[]): T[] {
  return rows.toSorted((a, b) => (a.url < b.url ? -1 : 1))
}
