import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LastGood } from '../../src/async/last-good.ts'

function setUp() {
  const told: string[] = []
  const state: { answer: string | Error } = { answer: 'one' }
  const source = new LastGood({
    read: async () => {
      if (state.answer instanceof Error) throw state.answer
      return state.answer
    },
    onTrouble: (error) => told.push(error.message),
    onRecovery: () => told.push('well again'),
  })
  return { source, state, told }
}

test('What was read last counts while there is trouble, which is told once, as its end is', async () => {
  const { source, state, told } = setUp()
  assert.equal(await source.read(), 'one')
  for (const answer of [new Error('gone'), new Error('gone'), new Error('half')]) {
    state.answer = answer
    assert.equal(await source.read(), 'one')
  }
  assert.deepEqual(told, ['gone', 'half'])
  state.answer = 'two'
  for (let i = 0; i < 2; i++) assert.equal(await source.read(), 'two')
  assert.deepEqual(told, ['gone', 'half', 'well again'])
})

test('Trouble before anything was read is thrown, and told once', async () => {
  const { source, state, told } = setUp()
  state.answer = new Error('gone')
  for (let i = 0; i < 2; i++) await assert.rejects(source.read(), { message: 'gone' })
  assert.deepEqual(told, ['gone'])
})
