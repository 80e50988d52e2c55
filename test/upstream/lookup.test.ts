import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { test } from 'node:test'
import { Lookups } from '../../src/upstream/lookup.ts'
import { ManualClock } from '../support/clock.ts'

const ADDRESS: LookupAddress = { address: '192.0.2.1', family: 4 }

/** A resolver whose answers a test gives by hand. */
class HandResolver {
  readonly asked: string[] = []
  readonly #waiting = new Map<string, { resolve: (addresses: LookupAddress[]) => void; reject: (error: Error) => void }>()

  readonly resolve = (hostname: string): Promise<LookupAddress[]> => {
    this.asked.push(hostname)
    return new Promise((resolve, reject) => this.#waiting.set(hostname, { resolve, reject }))
  }

  answer(hostname: string, addresses = [ADDRESS]): void {
    this.#waiting.get(hostname)?.resolve(addresses)
  }

  fail(hostname: string, code: string): void {
    this.#waiting.get(hostname)?.reject(Object.assign(new Error(code), { code }))
  }
}

type Setup = { readonly lookups: Lookups; readonly resolver: HandResolver; readonly clock: ManualClock }

function setUp(): Setup {
  const [resolver, clock] = [new HandResolver(), new ManualClock()]
  return { lookups: new Lookups({ resolve: resolver.resolve, clock, giveUpMs: 3_000 }), resolver, clock }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a name that several wait for is looked up once', async () => {
  const { lookups, resolver } = setUp()
  const both = Promise.all([lookups.lookup('a'), lookups.lookup('a')])
  await settled()
  resolver.answer('a')
  assert.deepEqual(await both, [[ADDRESS], [ADDRESS]])
  assert.deepEqual(resolver.asked, ['a'])
})

test('an answer is not kept: the next connection looks up again', async () => {
  const { lookups, resolver } = setUp()
  for (let round = 0; round < 2; round++) {
    const found = lookups.lookup('a')
    await settled()
    resolver.answer('a')
    await found
  }
  assert.deepEqual(resolver.asked, ['a', 'a'])
})

/** Looks names up that are answered at once. */
async function lookUpWell({ lookups, resolver }: Pick<Setup, 'lookups' | 'resolver'>, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const found = lookups.lookup(name)
    await settled()
    resolver.answer(name)
    await found
  }
  resolver.asked.length = 0
}

test('four look-ups run at once; the fifth name waits for one of them', async () => {
  const { lookups, resolver } = setUp()
  const names = ['a', 'b', 'c', 'd', 'e']
  await lookUpWell({ lookups, resolver }, names)
  const all = names.map((name) => lookups.lookup(name))
  await settled()
  assert.deepEqual([resolver.asked, lookups.running], [['a', 'b', 'c', 'd'], 4])
  resolver.answer('c')
  await settled()
  assert.deepEqual(resolver.asked, ['a', 'b', 'c', 'd', 'e'])
  for (const name of ['a', 'b', 'd', 'e']) resolver.answer(name)
  assert.equal((await Promise.all(all)).length, 5)
  assert.equal(lookups.running, 0)
})

test('names that hang leave a place for one that was answered before', async () => {
  const { lookups, resolver, clock } = setUp()
  await lookUpWell({ lookups, resolver }, ['known'])
  const hanging = ['a', 'b', 'c', 'd'].map((name) => lookups.lookup(name).catch((error) => error.kind))
  const known = lookups.lookup('known')
  await settled()
  assert.deepEqual([resolver.asked, lookups.running], [['a', 'b', 'c', 'known'], 4])
  resolver.answer('known')
  assert.deepEqual(await known, [ADDRESS])
  assert.deepEqual(resolver.asked, ['a', 'b', 'c', 'known'], 'd waits for one of the other three places')
  await clock.advance(3_000)
  assert.deepEqual(await Promise.all(hanging), ['timeout', 'timeout', 'timeout', 'timeout'])
})

test('a name that failed has to wait with those that nobody knows', async () => {
  const { lookups, resolver } = setUp()
  await lookUpWell({ lookups, resolver }, ['known'])
  const failed = assert.rejects(lookups.lookup('known'), { kind: 'dns' })
  await settled()
  resolver.fail('known', 'EAI_AGAIN')
  await failed
  const all = ['a', 'b', 'c', 'known'].map((name) => lookups.lookup(name))
  await settled()
  assert.deepEqual(resolver.asked, ['known', 'a', 'b', 'c'])
  for (const name of ['a', 'b', 'c']) resolver.answer(name)
  await settled()
  resolver.answer('known')
  assert.equal((await Promise.all(all)).length, 4)
})

test('whoever wants a name whose look-up others gave up on is told at once', async () => {
  const { lookups, resolver, clock } = setUp()
  const first = lookups.lookup('a').catch((error) => error.kind)
  await clock.advance(3_000)
  assert.equal(await first, 'timeout')
  await assert.rejects(lookups.lookup('a'), { kind: 'timeout', message: 'the look-up of a has been hanging for 3000 ms' })
  assert.equal(clock.sleeping, 0)
  resolver.answer('a')
  await settled()
  const again = lookups.lookup('a')
  await settled()
  resolver.answer('a')
  assert.deepEqual(await again, [ADDRESS])
})

test('waiters give up after three seconds, the look-up goes on and frees its place only when it ends', async () => {
  const { lookups, resolver, clock } = setUp()
  const slow = ['a', 'b', 'c', 'd', 'e'].map((name) => lookups.lookup(name).catch((error) => error.kind))
  await settled()
  await clock.advance(3_000)
  assert.deepEqual(await Promise.all(slow), ['timeout', 'timeout', 'timeout', 'timeout', 'timeout'])
  assert.equal(lookups.running, 3)

  const next = lookups.lookup('f')
  await settled()
  assert.equal(resolver.asked.includes('f'), false)
  resolver.answer('a')
  await settled()
  assert.deepEqual(resolver.asked, ['a', 'b', 'c', 'f'], 'd, which nobody waits for any more, is never looked up')
  resolver.answer('f')
  assert.deepEqual(await next, [ADDRESS])
})

test('a waiter that comes later has its own three seconds', async () => {
  const { lookups, resolver, clock } = setUp()
  const first = lookups.lookup('a').catch((error) => error.kind)
  await clock.advance(2_000)
  const second = lookups.lookup('a')
  await clock.advance(1_000)
  assert.equal(await first, 'timeout')
  resolver.answer('a')
  assert.deepEqual(await second, [ADDRESS])
})

test("a failed look-up is 'dns', for no address as well, and leaves no sleeper behind", async () => {
  const { lookups, resolver, clock } = setUp()
  const [failed, empty] = [lookups.lookup('a'), lookups.lookup('b')]
  await settled()
  resolver.fail('a', 'EAI_AGAIN')
  resolver.answer('b', [])
  await assert.rejects(failed, { kind: 'dns', message: 'the look-up of a failed: EAI_AGAIN' })
  await assert.rejects(empty, { kind: 'dns', message: 'the look-up of b failed: ENOTFOUND' })
  assert.equal(clock.sleeping, 0)
})
