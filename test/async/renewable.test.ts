import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Renewable } from '../../src/async/renewable.ts'

/** Numbers what is made, and notes what happens to it. */
function numbered(isWanted: () => boolean = () => true) {
  const events: string[] = []
  let made = 0
  const renewable = new Renewable(() => {
    if (!isWanted()) return undefined
    const name = `${++made}`
    return { start: () => void events.push(`${name} starts`), stop: async () => void events.push(`${name} stops`) }
  })
  return { events, renewable }
}

test('A renewal stops the old one before the new one starts', async () => {
  const { events, renewable } = numbered()
  renewable.start()
  await renewable.renew()
  assert.deepEqual(events, ['1 starts', '1 stops', '2 starts'])
})

test('Renewals go one after the other', async () => {
  const { events, renewable } = numbered()
  renewable.start()
  await Promise.all([renewable.renew(), renewable.renew()])
  assert.deepEqual(events, ['1 starts', '1 stops', '2 starts', '2 stops', '3 starts'])
})

test('Before the start and after the stop a renewal starts nothing', async () => {
  const { events, renewable } = numbered()
  await renewable.renew()
  renewable.start()
  await renewable.stop()
  await renewable.renew()
  assert.deepEqual(events, ['1 starts', '1 stops'])
})

test('A stop in the middle of a renewal leaves nothing alive', async () => {
  const { events, renewable } = numbered()
  renewable.start()
  const renewal = renewable.renew()
  await renewable.stop()
  await renewal
  assert.ok(!events.includes('2 starts'), events.join())
})

test('What is not wanted any more is stopped, and what is wanted again is made', async () => {
  let isWanted = true
  const { events, renewable } = numbered(() => isWanted)
  renewable.start()
  isWanted = false
  await renewable.renew()
  assert.equal(renewable.current, undefined)
  isWanted = true
  await renewable.renew()
  assert.deepEqual(events, ['1 starts', '1 stops', '2 starts'])
})
