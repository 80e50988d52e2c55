/** How many manifests are fetched at once, and who gives way. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManifestPlaces } from '../../src/cache/manifest-places.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import { ManualClock } from '../support/clock.ts'

const [A, B, C] = ['a.example', 'b.example', 'c.example'].map((name) => parseRegistry(name)) as [Name, Name, Name]
type Name = ReturnType<typeof parseRegistry>
const BUDGETS = { manifestsAtOnce: 4, manifestsOfOneRegistry: 2, slowSourceMs: 3_000, firstByteMs: 20_000 }
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class Setup {
  readonly clock = new ManualClock()
  readonly places = new ManifestPlaces({ budgets: BUDGETS, clock: this.clock })
  readonly began: string[] = []
  readonly ended: string[] = []
  readonly #done = new Map<string, () => void>()

  /** Holds its place until `finish`, or until it has to give way. */
  hold(registry: Name, name: string): void {
    const work = (signal: AbortSignal): Promise<void> => {
      this.began.push(name)
      return new Promise((resolve, reject) => {
        this.#done.set(name, resolve)
        signal.addEventListener('abort', () => reject(signal.reason))
      })
    }
    const note = (error?: { kind?: string }): void => void this.ended.push(error === undefined ? name : `${name}: ${error.kind}`)
    this.places.run(registry, work).then(() => note(), note)
  }

  async finish(...names: string[]): Promise<void> {
    for (const name of names) this.#done.get(name)?.()
    await settled()
  }
}

test('A registry that hangs takes its own places only, and those behind it begin as they become free', async () => {
  const setup = new Setup()
  for (const name of ['a1', 'a2', 'a3', 'a4']) setup.hold(A, name)
  setup.hold(B, 'b1')
  await settled()
  assert.deepEqual(setup.began, ['a1', 'a2', 'b1'])
  await setup.finish('a2')
  assert.deepEqual(setup.began, ['a1', 'a2', 'b1', 'a3'])
  await setup.finish('a1', 'a3', 'b1')
  await setup.finish('a4')
  assert.deepEqual(setup.ended, ['a2', 'a1', 'a3', 'b1', 'a4'])
  assert.equal(setup.clock.sleeping, 0)
})

test('Where all places are taken, those that have been slow for longest give way, one for each that waits', async () => {
  const setup = new Setup()
  for (const name of ['a1', 'a2']) setup.hold(A, name)
  await setup.clock.advance(1_000)
  for (const name of ['b1', 'b2']) setup.hold(B, name)
  setup.hold(C, 'c1')
  await setup.clock.advance(1_999)
  assert.deepEqual(setup.ended, [])
  await setup.clock.advance(1)
  assert.deepEqual([setup.ended, setup.began.at(-1)], [['a1: timeout'], 'c1'])
  await setup.clock.advance(10_000)
  assert.deepEqual(setup.ended, ['a1: timeout'], 'nobody waits')
  setup.hold(C, 'c2')
  await settled()
  assert.deepEqual([setup.ended, setup.began.at(-1)], [['a1: timeout', 'a2: timeout'], 'c2'])
  await setup.finish('b1', 'b2', 'c1', 'c2')
})

test('Who gets no place in time is told so, and begins no more', async () => {
  const setup = new Setup()
  for (const name of ['a1', 'a2', 'a3']) setup.hold(A, name)
  await setup.clock.advance(20_000)
  assert.deepEqual(setup.ended, ['a3: timeout'])
  await setup.finish('a1', 'a2')
  assert.deepEqual(setup.began, ['a1', 'a2'])
})
