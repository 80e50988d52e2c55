/** What nobody came back for goes from the spool; what somebody may come back for stays. */
import assert from 'node:assert/strict'
import { chmod, rename, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestFileName, digestOf } from '../../src/oci/digest.ts'
import { blobFile, storeImage } from '../support/stored-image.ts'
import { until } from '../support/until.ts'
import { ANY, cacheTest, type Ground, readAll, settle, source } from './support.ts'

const DAY_MS = 24 * 3600_000

/** Lays down what a download left, last written so long ago. */
async function leave(ground: Ground, seed: string, agoMs: number): Promise<string> {
  const name = digestFileName(digestOf(Buffer.from(seed)))
  const seconds = (ground.clock.now() - agoMs) / 1000
  for (const file of [name, `${name}.json`]) {
    await writeFile(join(ground.path, 'pulls', file), '{}')
    await utimes(join(ground.path, 'pulls', file), seconds, seconds)
  }
  return name
}

cacheTest('Downloads that nobody came back for in seven days are cleared away at start, and others a day later', async (ground) => {
  await leave(ground, 'old', 7 * DAY_MS)
  const young = await leave(ground, 'young', 6.5 * DAY_MS)
  await ground.start()
  await until(async () => (await ground.files('pulls')).length === 2, 'the old one is gone')
  assert.deepEqual(await ground.files('pulls'), [young, `${young}.json`])
  await settle()
  await ground.clock.advance(DAY_MS)
  await until(async () => (await ground.files('pulls')).length === 0, 'the other one is gone')
})

cacheTest('What lies in a store that another process holds is left to that one', async (ground) => {
  const old = await leave(ground, 'old', 8 * DAY_MS)
  ground.space.trouble = { kind: 'held', why: 'by a test' }
  ground.spoolMayBeLeft = true
  await ground.restart()
  await ground.restart()
  assert.deepEqual(await ground.files('pulls'), [old, `${old}.json`])
})

for (const isStored of [true, false]) {
  cacheTest(
    `A small blob that a crash left whole in the spool${isStored ? ', though it is stored,' : ''} does not stay there`,
    async (ground) => {
      const small = Buffer.from('a small layer')
      const image = await storeImage(ground.directory, 'quay.io/some/app:v1', { layers: [small] }, ground.hub().content)
      const [digest] = image.layers as [Digest]
      const left = join(ground.path, 'pulls', digestFileName(digest))
      if (isStored) await writeFile(left, small)
      else await rename(blobFile(ground.path, digest), left)
      await chmod(left, 0o444)
      await ground.start()
      await settle()
      const { blob } = await ground.cache.blobs.open(digest, source(), ANY)
      assert.deepEqual(await readAll(blob), small)
      await until(async () => (await ground.files('pulls')).length === 0, 'the spool is empty')
      await ground.stored(digest)
      assert.equal(ground.upstreams.calls, 0)
    },
  )
}
