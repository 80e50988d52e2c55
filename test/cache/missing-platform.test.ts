/** A digest tells nobody which platform is missing; where a cached index lists it, the answer does. */
import assert from 'node:assert/strict'
import type { Digest } from '../../src/oci/digest.ts'
import { ANY, CACHED, cacheTest, type Ground, ref } from './support.ts'

const IN = (digest: Digest, repository = 'some/app') => ref(`quay.io/${repository}@${digest}`)

/** The index is cached, and so is the first of its images where that is asked for. */
async function cachedIndex(ground: Ground, platforms: readonly (string | undefined)[], cached = true): Promise<readonly Digest[]> {
  const cache = await ground.start()
  const { content } = ground.hub()
  const digests = platforms.map((platform, i) => content.addImage('some/app', undefined, { config: { platform, i } }).digest)
  const entries = platforms.map((platform, i) => {
    const [os, architecture, variant] = platform?.split('/') ?? []
    return { digest: digests[i] as Digest, ...(platform !== undefined && { platform: { os, architecture, variant } }) }
  })
  content.addIndex('some/app', '1', entries)
  await cache.manifests.get(ref('quay.io/some/app:1'), ANY, false)
  if (cached) await cache.manifests.get(IN(digests[0] as Digest), ANY, false)
  return digests
}

const misses: [sentence: string, platforms: readonly (string | undefined)[], cached: boolean, message: (digest: Digest) => string][] = [
  [
    'its platform and those that are cached',
    ['linux/amd64', 'linux/arm/v7'],
    true,
    (digest) => `linux/arm/v7 of quay.io/some/app (${digest}) is not cached; cached are linux/amd64`,
  ],
  [
    'its platform, where no other is cached',
    ['linux/amd64', 'linux/arm64'],
    false,
    (digest) => `linux/arm64 of quay.io/some/app (${digest}) is not cached; no other platform of it is`,
  ],
  ['its digest, where the index does not say', ['linux/amd64', undefined], true, (digest) => `quay.io/some/app@${digest} is not cached`],
]
for (const [sentence, platforms, cached, message] of misses) {
  cacheTest(`A miss of only-if-cached names ${sentence}`, async (ground) => {
    const [, missing] = await cachedIndex(ground, platforms, cached)
    await assert.rejects(ground.cache.manifests.get(IN(missing as Digest), CACHED, false), {
      status: 504,
      message: `${message(missing as Digest)}, and only-if-cached was asked for`,
    })
  })
}

cacheTest('So does the failure of the registry, which stays what it was', async (ground) => {
  const [, missing] = await cachedIndex(ground, ['linux/amd64', 'linux/arm64'])
  ground.hub().down('unreachable')
  await assert.rejects(ground.cache.manifests.get(IN(missing as Digest), ANY, false), {
    kind: 'unreachable',
    message: new RegExp(`^linux/arm64 of quay.io/some/app \\(${missing}\\) is not cached; cached are linux/amd64; quay\\.io: unreachable`),
  })
})

cacheTest('An index of another repository has no say', async (ground) => {
  const [, missing] = await cachedIndex(ground, ['linux/amd64', 'linux/arm64'])
  await assert.rejects(ground.cache.manifests.get(IN(missing as Digest, 'other/app'), CACHED, false), {
    message: `quay.io/other/app@${missing} is not cached, and only-if-cached was asked for`,
  })
})
