import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BufferPool, ResponseBuffers } from '../../src/server/buffers.ts'
import { Random } from '../support/property.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** A response whose client takes everything at once, as far as it needs to be worth big buffers. */
function fastResponse(pool: BufferPool): ResponseBuffers {
  const buffers = new ResponseBuffers(pool)
  while (buffers.takeAhead() === undefined) {
    const buffer = buffers.take()
    buffers.sent(buffer.byteLength, 0)
    buffers.give(buffer)
  }
  return buffers
}

test('buffer pool: lends at most sixteen big buffers, and the same ones again', () => {
  const pool = new BufferPool()
  const lent = Array.from({ length: 16 }, () => pool.big())
  for (const buffer of lent) assert.equal(buffer?.byteLength, MIB)
  assert.equal(new Set(lent).size, 16)
  assert.equal(pool.big(), undefined)
  const [first] = lent
  assert(first !== undefined)
  pool.give(first)
  assert.equal(pool.big(), first)
  assert.equal(pool.big(), undefined)
})

test('buffer pool: small buffers are never refused, and reused', () => {
  const pool = new BufferPool()
  const lent = Array.from({ length: 500 }, () => pool.small())
  for (const buffer of lent) assert.equal(buffer.byteLength, 64 * KIB)
  assert.equal(new Set(lent).size, 500)
  for (const buffer of lent) pool.give(buffer)
  assert(lent.includes(pool.small()))
})

test('buffer pool: nobody shares memory', () => {
  const pool = new BufferPool()
  const buffers = [pool.small(), pool.small(), pool.big(), pool.big()]
  assert.equal(new Set(buffers.map((buffer) => buffer?.buffer)).size, 4)
})

test('response: starts with one small buffer and reads nothing ahead', () => {
  const buffers = new ResponseBuffers(new BufferPool())
  assert.equal(buffers.take().byteLength, 64 * KIB)
  assert.equal(buffers.takeAhead(), undefined)
})

test('response: one that drains at once gets two big buffers', () => {
  const pool = new BufferPool()
  const buffers = new ResponseBuffers(pool)
  let sent = 0
  for (;;) {
    const buffer = buffers.take()
    if (buffer.byteLength === MIB) break
    buffers.sent(buffer.byteLength, 1)
    sent += buffer.byteLength
    buffers.give(buffer)
    assert(sent <= 64 * MIB, 'it is fast enough for big buffers')
  }
  assert.equal(buffers.takeAhead()?.byteLength, MIB)
})

test('response: a slow one never gets a big buffer, however much it takes in all', () => {
  const buffers = new ResponseBuffers(new BufferPool())
  for (let sent = 0; sent < 256 * MIB; sent += 64 * KIB) {
    const buffer = buffers.take()
    assert.equal(buffer.byteLength, 64 * KIB)
    assert.equal(buffers.takeAhead(), undefined)
    buffers.sent(buffer.byteLength, sent % (512 * KIB) === 0 ? 500 : 0) // fast now and then, but not for long
    buffers.give(buffer)
  }
})

test('response: one that slows down goes back to small buffers', () => {
  const buffers = fastResponse(new BufferPool())
  const big = buffers.take()
  assert.equal(big.byteLength, MIB)
  buffers.sent(big.byteLength, 1000)
  buffers.give(big)
  assert.equal(buffers.take().byteLength, 64 * KIB)
  assert.equal(buffers.takeAhead(), undefined)
})

test('response: where all big buffers are lent a fast one goes on with a small one, and reads nothing ahead', () => {
  const pool = new BufferPool()
  const buffers = fastResponse(pool)
  while (pool.big() !== undefined);
  assert.equal(buffers.take().byteLength, 64 * KIB)
  assert.equal(buffers.takeAhead(), undefined)
})

test('responses at random: never more than sixteen big buffers, and all come back', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Random(seed)
    const pool = new BufferPool()
    const responses = Array.from({ length: 30 }, () => ({ buffers: new ResponseBuffers(pool), held: [] as Buffer[] }))
    for (let step = 0; step < 2000; step++) {
      const { buffers, held } = random.pick(responses)
      const buffer = held.pop()
      if (buffer !== undefined) {
        buffers.sent(buffer.byteLength, random.pick([0, 0, 0, 0, 100]))
        buffers.give(buffer)
      } else {
        held.push(buffers.take())
        const ahead = buffers.takeAhead()
        if (ahead !== undefined) held.push(ahead)
      }
      const all = responses.flatMap((response) => response.held)
      assert.equal(new Set(all).size, all.length, `seed ${seed}: a buffer is lent twice`)
      assert(all.filter(({ byteLength }) => byteLength === MIB).length <= 16, `seed ${seed}: more than sixteen big ones`)
    }
    for (const { buffers, held } of responses) for (const buffer of held) buffers.give(buffer)
    assert.equal(Array.from({ length: 16 }, () => pool.big()).filter((buffer) => buffer !== undefined).length, 16)
    assert.equal(pool.big(), undefined)
  }
})
