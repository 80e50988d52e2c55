/** The built program under load, killed with SIGKILL at random instants, and started again on the same store each time. */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import test from 'node:test'
import { type Findings, killAgainAndAgain } from './support/kills.ts'

/** Of a failed run, to have it again: the same images and clients, and nearly the same instants. */
const seed = Number(process.env.OCIREGISTRY_SEED ?? randomInt(2 ** 31))
const kills = Number(process.env.OCIREGISTRY_CRASHES ?? 20)

/** Of one kind: one mistake is seen many times. */
const SHOWN = 5

const promises: Record<keyof Findings, string> = {
  notStarted: 'the server starts again on the store, whenever it was killed',
  wrongAnswers: 'no complete answer has a wrong byte',
  noAnswers: 'clients are answered until the instant of the kill, and after the next start',
  wrongContent: 'whatever the store calls verified is right, and every reference names a record that is there',
  lost: 'what was stored before a kill is served after it, without the upstream',
  again: 'a download goes on where the kill found it, at the cost of one write at most',
  leftovers: 'kills leave nothing behind that stays',
}

test(`${kills} kills at random instants (OCIREGISTRY_SEED=${seed})`, async (t) => {
  const { findings, ...tally } = await killAgainAndAgain(t, { kills, seed })
  t.diagnostic(`kills with seed ${seed}: ${JSON.stringify(tally)}`)
  for (const [finding, promise] of Object.entries(promises))
    await t.test(promise, () => assert.deepEqual(findings[finding as keyof Findings].slice(0, SHOWN), []))
  await t.test('the kills hit downloads in the middle, and some of these were long on their way', () => {
    assert.ok(tally.midway >= kills / 4, `${tally.midway} of ${kills}`)
    assert.ok(tally.continued > 0)
  })
})
