/** podman and buildah pull through the server, named directly and as a mirror; every pull again with the upstream stopped. */
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { writeRegistriesConf } from './support/c-image.ts'
import { type Puller, pullerRefused, pullInto } from './support/podman.ts'
import { type Pull, pullTwice, referenceOf } from './support/pulls.ts'
import { lacks } from './support/requirements.ts'
import { digestsOf } from './support/seeds.ts'
import { openStage, type Stage } from './support/stage.ts'

const table: Pull[] = [
  { registry: 'docker.io', image: 'index' },
  { registry: 'docker.io', image: 'dockerList' },
  { registry: 'docker.io', image: 'dockerImage' },
  { registry: 'docker.io', image: 'fewMegabytes' },
  { registry: 'quay.io', image: 'index' },
  { registry: 'quay.io', image: 'ociImage' },
  { registry: 'quay.io', image: 'zstdLayer' },
  { registry: 'quay.io', image: 'largeManifest' },
  { registry: 'quay.io', image: 'fiveSegments' },
]

for (const puller of ['podman', 'buildah'] as const satisfies Puller[]) {
  const skip = lacks(puller, 'docker-registry') || (await pullerRefused(puller))

  /** They keep the index as well as the image that they chose from it. */
  const pulls = (stage: Stage, pull: (reference: string) => Promise<string[]>) => async (_t: TestContext, one: Pull) =>
    assert.deepEqual(await pull(referenceOf(stage, one)), digestsOf(stage.image(one.registry, one.image), 'amd64'))

  test(`${puller} pulls an image named by registry and repository on the server`, { skip }, async (t) => {
    const stage = await openStage(t)
    const { mirror, outside, directory } = stage
    const pull = (reference: string) => pullInto(puller, `${mirror}/${reference}`, { env: outside.env, directory })
    await pullTwice(t, stage, table, pulls(stage, pull))
  })

  test(`${puller} pulls every image through the mirror of its registries.conf`, { skip }, async (t) => {
    const stage = await openStage(t)
    const { mirror, outside, directory } = stage
    const registriesConf = await writeRegistriesConf(directory, mirror)
    const pull = (reference: string) => pullInto(puller, reference, { env: outside.env, directory, registriesConf })
    await pullTwice(t, stage, table, pulls(stage, pull))
  })
  test(`${puller} goes to the registry itself for what the mirror does not have`, { skip }, async (t) => {
    const { mirror, outside, directory } = await openStage(t)
    const registriesConf = await writeRegistriesConf(directory, mirror)
    await assert.rejects(pullInto(puller, 'quay.io/library/alpine:unheard-of', { env: outside.env, directory, registriesConf }))
    assert.match(outside.attempts.join('\n'), /^CONNECT quay\.io:443$/m)
  })
}
