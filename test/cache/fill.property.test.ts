/** What must hold for every download, whatever its sources and its clients do: right bytes or an error, never a wrong whole, and nothing left. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { HELD_BACK_BYTES } from '../../src/cache/progress.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { UpstreamErrorKind } from '../../src/upstream/error.ts'
import { Random } from '../support/property.ts'
import { NEVER, type Plan } from '../support/scripted-upstream.ts'
import { ask, bytes, Ground, isSettled, later, listBlob, Reader, settle, source, turns } from './support.ts'

const SIZES = [0, 1, HELD_BACK_BYTES - 1, HELD_BACK_BYTES, HELD_BACK_BYTES + 1, 200_000, 1_500_000]
const REGISTRIES = ['a.example', 'b.example', 'c.example']
const KINDS: readonly UpstreamErrorKind[] = ['notFound', 'denied', 'limited', 'unreachable', 'failed', 'timeout', 'corrupt']

/** What one source does; about every third time it does as it should. */
function plan(random: Random, content: Buffer): Plan {
  const part = random.below(content.byteLength + 1)
  const wrong = Buffer.from(content)
  if (wrong.byteLength > 0) wrong[random.below(wrong.byteLength)] = 0
  return random.pick<() => Plan>([
    () => ({}),
    () => ({}),
    () => ({ sizeBytes: null }),
    () => ({ ignoreOffset: true }),
    () => ({ cutAfter: part, cutBy: random.pick(KINDS) }),
    () => ({ cutAfter: part, sizeBytes: null }),
    () => ({ endAfter: part }),
    () => ({ endAfter: part, sizeBytes: null }),
    () => ({ error: random.pick(KINDS) }),
    () => ({ bytes: wrong }),
    () => ({ bytes: Buffer.concat([content, wrong]), sizeBytes: content.byteLength }),
    () => ({ sizeBytes: content.byteLength + 1 }),
    () => ({ ...NEVER }),
  ])()
}

async function client(ground: Ground, random: Random, digest: Digest, content: Buffer): Promise<void> {
  const blob = await ask(ground, digest, source(random.pick(REGISTRIES))).ready.catch(() => undefined)
  if (blob === undefined) return
  const start = random.below(content.byteLength + 1)
  const reader = new Reader(blob, random.below(3) === 0, start)
  while (!(await isSettled(reader.done))) {
    reader.step()
    if (random.below(50) === 0) return reader.leave()
  }
  const got = await reader.done.catch(() => undefined)
  if (got !== undefined) assert.ok(got.equals(content.subarray(start)), 'a whole answer is right')
  else assert.ok(reader.received <= Math.max(0, blob.sizeBytes - HELD_BACK_BYTES - start), 'a wrong one lacks its tail')
}

async function run(ground: Ground, seed: number): Promise<void> {
  const random = new Random(seed)
  const content = bytes(`seed ${seed}`, random.pick(SIZES))
  const digest = digestOf(content)
  for (const registry of REGISTRIES) {
    ground.hub(registry).content.addBlob(content)
    ground.hub(registry).plan('openBlob', ...Array.from({ length: random.between(0, 4) }, () => plan(random, content)))
  }
  if (random.below(2) === 0) for (const registry of REGISTRIES) listBlob(ground, registry, digest, content.byteLength)
  const clients: Promise<void>[] = []
  for (let i = random.between(1, 8); i > 0; i--) {
    clients.push(later(client(ground, random, digest, content)))
    await random.pick([settle, () => turns(random.below(10)), () => ground.clock.advance(random.below(4000))])()
  }
  for (let second = 0; second < 101; second++) await ground.clock.advance(1000) // whoever still waits gives up
  await ground.fills.stop() // whoever still reads from a source that hangs ends short
  await Promise.all(clients)
  for (const file of await ground.files('blobs')) assert.ok((await readFile(`${ground.path}/blobs/${file}`)).equals(content))
}

test('Whatever sources and clients do, an answer is right or ends short, and nothing wrong is stored', async (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const ground = await Ground.lay(t)
    try {
      ground.spoolMayBeLeft = true
      await run(ground, seed)
      await ground.leave()
    } catch (cause) {
      throw new Error(`seed ${seed} refutes it`, { cause })
    }
  }
})
