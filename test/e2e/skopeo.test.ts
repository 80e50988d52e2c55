/** skopeo pulls through the server, named directly and as a mirror; every pull again with the upstream stopped. */
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { partOf } from './support/cleanup.ts'
import { openConnectLog } from './support/connect-log.ts'
import { pushForeignImage } from './support/foreign-image.ts'
import { lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'
import { digestsOf, type RegistryName, type SeedName } from './support/seeds.ts'
import { install } from './support/server.ts'
import { skopeoCopy, writeRegistriesConf } from './support/skopeo.ts'
import { openStage, type Stage } from './support/stage.ts'

const skip = lacks('skopeo', 'docker-registry')

type Pull = { readonly registry: RegistryName; readonly image: SeedName; readonly all?: boolean }

/** Direct references cannot name a registry with a port: `:` is not in the grammar of a path. */
const direct: Pull[] = [
  { registry: 'docker.io', image: 'index', all: true },
  { registry: 'docker.io', image: 'dockerList', all: true },
  { registry: 'docker.io', image: 'dockerImage' },
  { registry: 'docker.io', image: 'ociImage' },
  { registry: 'quay.io', image: 'index' },
  { registry: 'quay.io', image: 'emptyBlob' },
  { registry: 'quay.io', image: 'largeManifest' },
  { registry: 'docker.io', image: 'largeLayer' },
  { registry: 'quay.io', image: 'zstdLayer' },
  { registry: 'quay.io', image: 'fiveSegments' },
]

const mirrored: Pull[] = [
  { registry: 'docker.io', image: 'index', all: true },
  { registry: 'docker.io', image: 'dockerList' },
  { registry: 'docker.io', image: 'dockerImage' },
  { registry: 'quay.io', image: 'ociImage' },
  { registry: 'quay.io', image: 'zstdLayer' },
  { registry: 'quay.io', image: 'fiveSegments' },
]

/** With one platform asked, skopeo keeps the image and not the index that named it. */
function wanted(stage: Stage, { registry, image, all }: Pull): string[] {
  const seeded = stage.image(registry, image)
  const isIndex = seeded.images[0]?.manifest.digest !== seeded.manifest.digest
  return all || !isIndex ? digestsOf(seeded) : digestsOf(seeded, 'amd64').filter((digest) => digest !== seeded.manifest.digest)
}

const nameOf = ({ registry, image, all }: Pull) => `${image} of ${registry}${all ? ', all platforms' : ''}`

/** How one pull is made: `path` is registry, repository and tag. */
type PullWith = (path: string, one: Pull) => Promise<string[]>

async function check(stage: Stage, one: Pull, pull: PullWith): Promise<void> {
  const { repository, tag } = stage.image(one.registry, one.image)
  assert.deepEqual(await pull(`${one.registry}/${repository}:${tag}`, one), wanted(stage, one))
  assert.deepEqual(stage.outside.attempts, [], 'skopeo went around the mirror')
}

async function pulls(t: TestContext, stage: Stage, when: string, table: Pull[], pull: PullWith): Promise<void> {
  for (const one of table) {
    const body = partOf(t, () => check(stage, one, pull))
    await t.test(`${nameOf(one)}, ${when}`, body)
  }
}

test('skopeo copies an image named by registry and repository on the server', { skip }, async (t) => {
  const stage = await openStage(t)
  const { mirror, outside, directory } = stage
  const pull: PullWith = (path, { all = false }) => skopeoCopy(`${mirror}/${path}`, { env: outside.env, directory, all })
  await pulls(t, stage, 'from the upstream', direct, pull)
  await stage.stopUpstreams()
  await pulls(t, stage, 'with the upstream stopped', direct, pull)
})

test('skopeo pulls every image through the mirror of its registries.conf', { skip }, async (t) => {
  const stage = await openStage(t)
  const { mirror, outside, directory } = stage
  const registriesConf = await writeRegistriesConf(directory, mirror)
  const pull: PullWith = (path, { all = false }) => skopeoCopy(path, { env: outside.env, directory, all, registriesConf })
  await pulls(t, stage, 'from the upstream', mirrored, pull)
  await stage.stopUpstreams()
  await pulls(t, stage, 'with the upstream stopped', mirrored, pull)
})

test('skopeo gets a foreign layer from its own address, and everything else through the server', { skip }, async (t) => {
  const { seeded, layer, host, upstream } = await pushForeignImage(t)
  const { start, mirror } = await install(t, [{ name: 'docker.io', url: upstream.url }])
  await start()
  const [directory, outside] = [await testDirectory(t), await openConnectLog(t)]
  const digests = await skopeoCopy(`${mirror}/docker.io/${seeded.repository}:${seeded.tag}`, { env: outside.env, directory })
  assert.deepEqual(digests, [...digestsOf(seeded), layer.digest].sort())
  assert.deepEqual(
    host.requests.filter((agent) => !agent.startsWith('skopeo/')),
    [],
  )
  assert.deepEqual(outside.attempts, [])
})
