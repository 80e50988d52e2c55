/** A table of pulls, each a test of its own; and all of them once more when only the cache can answer. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { partOf } from './cleanup.ts'
import { digestsOf, type RegistryName, type SeedName } from './seeds.ts'
import type { Stage } from './stage.ts'

export type Pull = { readonly registry: RegistryName; readonly image: SeedName }

/** Runs `check` on every pull with the upstreams up, then with them stopped; no client may have gone around the server. */
export async function pullTwice<One extends Pull>(
  t: TestContext,
  stage: Stage,
  table: readonly One[],
  check: (t: TestContext, one: One) => Promise<void>,
): Promise<void> {
  await pullAll(t, stage, 'from the upstream', table, check)
  await stage.stopUpstreams()
  await pullAll(t, stage, 'with the upstream stopped', table, check)
}

async function pullAll<One extends Pull>(
  t: TestContext,
  stage: Stage,
  when: string,
  table: readonly One[],
  check: (t: TestContext, one: One) => Promise<void>,
): Promise<void> {
  for (const one of table) {
    const { registry, image, ...more } = one
    const how = Object.values(more).map((detail) => `, ${detail}`)
    const body = partOf(t, async (t) => {
      await check(t, one)
      assert.deepEqual(stage.outside.attempts, [], 'the client went around the mirror')
    })
    await t.test(`${image} of ${registry}${how.join('')}, ${when}`, body)
  }
}

/** `registry/repository:tag` of what is pulled. */
export function referenceOf(stage: Stage, { registry, image }: Pull): string {
  const { repository, tag } = stage.image(registry, image)
  return `${registry}/${repository}:${tag}`
}

/** Digests of what a pull of one platform keeps where it does not keep the index that named it. */
export function imageDigestsOf(stage: Stage, { registry, image }: Pull): string[] {
  const seeded = stage.image(registry, image)
  const isIndex = seeded.images[0]?.manifest.digest !== seeded.manifest.digest
  return digestsOf(seeded, 'amd64').filter((digest) => !isIndex || digest !== seeded.manifest.digest)
}
