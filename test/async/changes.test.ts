import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Changes } from '../../src/async/changes.ts'

test('Whoever waits for a change hears of it, and of each one once', async () => {
  const changes = new Changes()
  let heard = 0
  const listen = async () => {
    await changes.next
    heard++
  }
  void listen()
  void listen()
  await turn()
  assert.equal(heard, 0)
  changes.ring()
  await turn()
  assert.equal(heard, 2)
  changes.ring()
  await turn()
  assert.equal(heard, 2)
})

test('A change that nobody waited for is not kept for whoever comes later', async () => {
  const changes = new Changes()
  changes.ring()
  let heard = false
  void changes.next.then(() => {
    heard = true
  })
  await turn()
  assert.equal(heard, false)
})

test('No change is missed by whoever looks before it waits', async () => {
  const changes = new Changes()
  let value = 0
  const seen: number[] = []
  const watching = (async () => {
    while (value < 50) {
      await changes.next
      seen.push(value)
    }
  })()
  for (let round = 1; round <= 50; round++) {
    value = round
    changes.ring()
    if (round % 3 === 0) await turn()
  }
  await watching
  assert.equal(seen.at(-1), 50)
})
