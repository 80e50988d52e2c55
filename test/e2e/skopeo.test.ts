/** skopeo pulls through the server, named directly and as a mirror; every pull again with the upstream stopped. */
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { writeRegistriesConf } from './support/c-image.ts'
import { openConnectLog } from './support/connect-log.ts'
import { pushForeignImage } from './support/foreign-image.ts'
import { imageDigestsOf, type Pull, pullTwice, referenceOf } from './support/pulls.ts'
import { lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'
import { digestsOf } from './support/seeds.ts'
import { install } from './support/server.ts'
import { skopeoCopy } from './support/skopeo.ts'
import { openStage, type Stage } from './support/stage.ts'

const skip = lacks('skopeo', 'docker-registry')

type SkopeoPull = Pull & { readonly platforms?: 'all platforms' }

/** Direct references cannot name a registry with a port: `:` is not in the grammar of a path. */
const direct: SkopeoPull[] = [
  { registry: 'docker.io', image: 'index', platforms: 'all platforms' },
  { registry: 'docker.io', image: 'dockerList', platforms: 'all platforms' },
  { registry: 'docker.io', image: 'dockerImage' },
  { registry: 'docker.io', image: 'ociImage' },
  { registry: 'quay.io', image: 'index' },
  { registry: 'quay.io', image: 'emptyBlob' },
  { registry: 'quay.io', image: 'largeManifest' },
  { registry: 'docker.io', image: 'largeLayer' },
  { registry: 'quay.io', image: 'zstdLayer' },
  { registry: 'quay.io', image: 'fiveSegments' },
]

const mirrored: SkopeoPull[] = [
  { registry: 'docker.io', image: 'index', platforms: 'all platforms' },
  { registry: 'docker.io', image: 'dockerList' },
  { registry: 'docker.io', image: 'dockerImage' },
  { registry: 'quay.io', image: 'ociImage' },
  { registry: 'quay.io', image: 'zstdLayer' },
  { registry: 'quay.io', image: 'fiveSegments' },
]

/** Copies by `pull`, which gets the reference. With one platform asked, skopeo keeps the image and not the index that named it. */
function copies(stage: Stage, pull: (reference: string, all: boolean) => Promise<string[]>) {
  return async (_t: TestContext, one: SkopeoPull): Promise<void> => {
    const all = one.platforms !== undefined
    const wanted = all ? digestsOf(stage.image(one.registry, one.image)) : imageDigestsOf(stage, one)
    assert.deepEqual(await pull(referenceOf(stage, one), all), wanted)
  }
}

test('skopeo copies an image named by registry and repository on the server', { skip }, async (t) => {
  const stage = await openStage(t)
  const { mirror, outside, directory } = stage
  const pull = (reference: string, all: boolean) => skopeoCopy(`${mirror}/${reference}`, { env: outside.env, directory, all })
  await pullTwice(t, stage, direct, copies(stage, pull))
})

test('skopeo pulls every image through the mirror of its registries.conf', { skip }, async (t) => {
  const stage = await openStage(t)
  const { mirror, outside, directory } = stage
  const registriesConf = await writeRegistriesConf(directory, mirror)
  const pull = (reference: string, all: boolean) => skopeoCopy(reference, { env: outside.env, directory, all, registriesConf })
  await pullTwice(t, stage, mirrored, copies(stage, pull))
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
