/** The byte budget: who gets room, who goes for it, and who waits for whom. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget, type BudgetDeps } from '../../src/cache/budget.ts'
import { ManualClock } from '../support/clock.ts'
import { MemoryLog } from '../support/log.ts'
import { Gate } from '../support/scripted-upstream.ts'
import { TestSpace } from '../support/space.ts'
import { isSettled, MIB, turns } from './support.ts'

const MAX = 100 * MIB

/** A budget over a store of so many bytes, of which some may go. */
async function budgetOver(storedBytes: number, mayGoBytes: number, change: Partial<BudgetDeps> = {}) {
  const state = { storedBytes, mayGoBytes, onEviction: () => {} }
  const evictions: number[] = []
  const [space, clock, log] = [new TestSpace(), new ManualClock(), new MemoryLog()]
  const budget = new Budget({
    space,
    settings: { budget: { maxBytes: MAX, highBytes: 0.9 * MAX, lowBytes: 0.5 * MAX } },
    count: async () => state.storedBytes,
    evict: async (most) => {
      evictions.push(most)
      state.onEviction()
      const goes = Math.min(state.mayGoBytes, Math.max(0, state.storedBytes - most))
      state.storedBytes -= goes
      state.mayGoBytes -= goes
      return { storedBytes: state.storedBytes, freedBytes: goes }
    },
    clock,
    log,
    ...change,
  })
  budget.start()
  await turns(3)
  return { budget, space, clock, log, evictions, state }
}

test('As long as there is room, nobody goes', async () => {
  const { budget, evictions } = await budgetOver(10 * MIB, 10 * MIB)
  const room = await budget.reserve(50 * MIB)
  assert.ok(room !== undefined)
  assert.equal(budget.usedBytes, 60 * MIB)
  room.written(50 * MIB)
  room.release()
  assert.deepEqual([budget.usedBytes, evictions], [60 * MIB, []])
})

test('What was promised and not written is given back', async () => {
  const { budget } = await budgetOver(0, 0)
  const room = await budget.reserve(30 * MIB)
  room?.written(10 * MIB)
  room?.release()
  room?.release()
  assert.equal(budget.usedBytes, 10 * MIB)
})

test('For who wants room so much goes that the low watermark is reached, or further', async () => {
  const small = await budgetOver(80 * MIB, 80 * MIB)
  assert.ok((await small.budget.reserve(30 * MIB)) !== undefined)
  assert.deepEqual([small.evictions, small.budget.usedBytes], [[50 * MIB], 80 * MIB])
  const large = await budgetOver(80 * MIB, 80 * MIB)
  assert.ok((await large.budget.reserve(90 * MIB)) !== undefined)
  assert.deepEqual([large.evictions, large.budget.usedBytes], [[10 * MIB], 100 * MIB])
})

test('Above the high watermark images go behind the backs of all', async () => {
  const { budget, evictions } = await budgetOver(50 * MIB, 100 * MIB)
  const room = await budget.reserve(45 * MIB)
  room?.written(45 * MIB)
  assert.deepEqual(evictions, [])
  room?.release()
  await turns(3)
  assert.deepEqual(evictions, [50 * MIB])
})

test('A store that is above it at the start comes down at once', async () => {
  const { evictions, budget } = await budgetOver(95 * MIB, 95 * MIB)
  await turns(3)
  assert.deepEqual([evictions, budget.usedBytes], [[50 * MIB], 50 * MIB])
})

test('Where nothing may go there is no room: it is said once in a while, and not tried again at once', async () => {
  const { budget, evictions, log, clock } = await budgetOver(80 * MIB, 0)
  for (let i = 0; i < 3; i++) assert.equal(await budget.reserve(30 * MIB), undefined)
  assert.equal(evictions.length, 1)
  assert.deepEqual(
    log.lines.map(({ level, message }) => [level, message]),
    [
      [
        'warn',
        'a blob of 30.0 MiB is streamed without being stored: 80.0 MiB of the 100.0 MiB that the store may use are taken, and nothing more may go',
      ],
    ],
  )
  await clock.advance(10_000)
  assert.equal(await budget.reserve(30 * MIB), undefined)
  assert.equal(evictions.length, 2)
})

test('What is larger than the whole budget drives nobody out', async () => {
  const { budget, evictions } = await budgetOver(80 * MIB, 80 * MIB)
  assert.equal(await budget.reserve(MAX + 1), undefined)
  assert.deepEqual(evictions, [])
})

test('Many who want room at once never get more than there is', async () => {
  const { budget } = await budgetOver(0, 0)
  const rooms = await Promise.all(Array.from({ length: 20 }, () => budget.reserve(15 * MIB)))
  assert.equal(rooms.filter((room) => room !== undefined).length, 6)
  assert.ok(budget.usedBytes <= MAX)
})

test('Manifests do not wait for those that go, which may wait for them; they may go a little beyond', async () => {
  const gate = new Gate()
  const { budget } = await budgetOver(99 * MIB, 0, {
    evict: () => gate.opened.then(() => ({ storedBytes: 50 * MIB, freedBytes: 49 * MIB })),
  })
  const waiting = budget.reserve(30 * MIB)
  const small = await Promise.all(Array.from({ length: 20 }, () => budget.reserve(200 * 1024)))
  assert.equal(small.filter((room) => room !== undefined).length, 10)
  assert.equal(await isSettled(waiting), false)
  gate.open()
  assert.ok((await waiting) !== undefined)
})

test('Whoever wants room while images go for others looks again when these are gone', async () => {
  const { budget, evictions, state } = await budgetOver(80 * MIB, 80 * MIB)
  const rooms = await Promise.all(Array.from({ length: 8 }, () => budget.reserve(12 * MIB)))
  assert.deepEqual([rooms.filter((room) => room !== undefined).length, state.storedBytes <= 4 * MIB, evictions.length < 8], [8, true, true])
})

test('For more than all running downloads leave, nobody goes', async () => {
  const { budget, evictions } = await budgetOver(10 * MIB, 10 * MIB)
  assert.ok((await budget.reserve(80 * MIB)) !== undefined)
  await turns(3)
  evictions.length = 0
  assert.equal(await budget.reserve(30 * MIB), undefined)
  assert.deepEqual(evictions, [])
})

test('What is stored while others go is counted', async () => {
  const gate = new Gate()
  const { budget } = await budgetOver(80 * MIB, 0, {
    evict: () => gate.opened.then(() => ({ storedBytes: 40 * MIB, freedBytes: 40 * MIB })),
  })
  const room = await budget.reserve(15 * MIB)
  const waiting = budget.reserve(20 * MIB)
  await turns(1)
  room?.written(15 * MIB)
  room?.release()
  gate.open()
  assert.ok((await waiting) !== undefined)
  assert.equal(budget.usedBytes, 75 * MIB)
})

test('A download whose length nobody knew asks for more as it goes', async () => {
  const { budget, space } = await budgetOver(80 * MIB, 0)
  const room = await budget.reserve(10 * MIB)
  assert.equal(await room?.grow(5 * MIB), true)
  assert.equal(await room?.grow(16 * MIB), false)
  space.freeBytes = 0
  assert.equal(await room?.grow(2 * MIB), false)
  room?.release()
  assert.equal(budget.usedBytes, 80 * MIB)
})

test('A disk that is full before the budget is has images go as well', async () => {
  const { budget, space, evictions, state } = await budgetOver(60 * MIB, 60 * MIB)
  space.freeBytes = 10 * MIB
  state.onEviction = () => {
    space.freeBytes = 40 * MIB
  }
  assert.ok((await budget.reserve(20 * MIB)) !== undefined)
  assert.deepEqual(evictions, [40 * MIB])
})

test('A disk that fails has nobody go, and its trouble shows', async () => {
  const { budget, space, evictions } = await budgetOver(60 * MIB, 60 * MIB)
  space.trouble = { kind: 'failing', why: 'it burns' }
  assert.equal(await budget.reserve(20 * MIB), undefined)
  assert.deepEqual([evictions, budget.trouble?.why, budget.usedBytes], [[], 'it burns', 60 * MIB])
})

test('What somebody else removes or brings is noticed within the hour', async () => {
  const { budget, clock, state } = await budgetOver(80 * MIB, 0)
  state.storedBytes = 10 * MIB
  await clock.advance(3600_000)
  await turns(3)
  assert.equal(budget.usedBytes, 10 * MIB)
  await budget.stop()
  assert.equal(clock.sleeping, 0)
})

test('An eviction that fails is logged, and nobody hangs', async () => {
  const { budget, log } = await budgetOver(95 * MIB, 0, { evict: () => Promise.reject(new Error('the disk failed')) })
  assert.equal(await budget.reserve(30 * MIB), undefined)
  assert.ok(log.lines.some(({ level, message }) => level === 'error' && message === 'could not make room in the store'))
})

const shortages: [sentence: string, stored: number, wanted: number, free: number, why: string | undefined][] = [
  ['What fits both', 50 * MIB, 50 * MIB, 50 * MIB, undefined],
  [
    'What would go beyond the budget',
    80 * MIB,
    21 * MIB,
    50 * MIB,
    '80.0 MiB of the 100.0 MiB that the store may use are taken (maxSize): remove images or pins, or raise maxSize',
  ],
  ['What fits the budget, and not the disk', 50 * MIB, 5, 1, 'there is no room for 5 bytes'],
]
for (const [sentence, stored, wanted, free, why] of shortages) {
  test(`Why there is no room: ${sentence}`, async () => {
    const { budget, space } = await budgetOver(stored, 0)
    space.freeBytes = free
    assert.equal(budget.shortage(wanted), why)
  })
}
