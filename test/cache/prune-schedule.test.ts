/** Removing images in the background: when, what, and what is said of it. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { PruneRefused, type PruneReport, type Prunes } from '../../src/cache/prune-report.ts'
import { PruneSchedule, rulesOf, waitFor } from '../../src/cache/prune-schedule.ts'
import type { PruneRules } from '../../src/cache/retention.ts'
import type { PruneConfig } from '../../src/config/config.ts'
import { parsePatterns } from '../../src/config/expression.ts'
import { decodePruneNote, encodePruneNote, pruneNote } from '../../src/store/prune-note.ts'
import { ManualClock } from '../support/clock.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { NOTHING_PRUNED } from '../support/prune-report.ts'
import { until } from '../support/until.ts'
import { d } from './sketch.ts'
import { settle } from './support.ts'

const HOUR = 3600_000
const DAY = 24 * HOUR
const SETTINGS: PruneConfig = {
  enabled: true,
  type: 'accessed',
  durationMs: 30 * DAY,
  patterns: undefined,
  frequencyMs: DAY,
  count: undefined,
  dryRun: false,
}
class RecordingPruner implements Prunes {
  readonly last = undefined
  readonly calls: { readonly kind: 'look' | 'prune'; readonly rules: PruneRules }[] = []
  answer: () => Omit<PruneReport, 'dryRun'> = () => NOTHING_PRUNED

  async look(rules: PruneRules): Promise<PruneReport> {
    this.calls.push({ kind: 'look', rules })
    return { dryRun: true, ...this.answer() }
  }

  async prune(rules: PruneRules): Promise<PruneReport> {
    this.calls.push({ kind: 'prune', rules })
    return { dryRun: false, ...this.answer() }
  }
}

async function scheduled(t: TestContext, change: Partial<PruneConfig> = {}) {
  const path = await temporaryDirectory(t)
  const [pruner, clock, log] = [new RecordingPruner(), new ManualClock(), new MemoryLog()]
  const note = pruneNote(path, log)
  const begin = async () => {
    const schedule = new PruneSchedule({ settings: { ...SETTINGS, ...change }, pruner, note, clock, log })
    schedule.start()
    await until(() => clock.sleeping === 1, 'it sleeps')
    return schedule
  }
  return { pruner, clock, log, note, begin }
}

test('The first run comes one interval after the start, and then one after each', async (t) => {
  const { pruner, clock, begin } = await scheduled(t)
  const schedule = await begin()
  await clock.advance(DAY - 1)
  assert.equal(pruner.calls.length, 0)
  await clock.advance(1)
  await until(() => pruner.calls.length === 1 && clock.sleeping === 1, 'it has run')
  await clock.advance(DAY)
  await until(() => pruner.calls.length === 2, 'it has run again')
  assert.deepEqual(pruner.calls[0], { kind: 'prune', rules: { olderThan: { by: 'accessed', ageMs: 30 * DAY } } })
  await settle()
  await schedule.stop()
  assert.equal(clock.sleeping, 0)
})

test('A restart does not begin the interval anew, and one that was missed is made up for', async (t) => {
  const { pruner, clock, begin } = await scheduled(t)
  await (await begin()).stop()
  await clock.advance(20 * HOUR)
  const second = await begin()
  await clock.advance(4 * HOUR)
  await until(() => pruner.calls.length === 1, 'it has run')
  await settle()
  await second.stop()
  await clock.advance(10 * DAY)
  const third = await begin()
  await clock.advance(0)
  await until(() => pruner.calls.length === 2, 'it has run at once')
  await settle()
  await third.stop()
})

test('A dry run never deletes, and says what would go', async (t) => {
  const { pruner, clock, log, begin } = await scheduled(t, { dryRun: true })
  pruner.answer = () => ({
    ...NOTHING_PRUNED,
    references: [{ reference: 'a.io/x:1', digest: d('x'), createdMs: 0, pulledMs: 0 }],
    manifests: [{ digest: d('x'), kind: 'image', references: ['a.io/x:1'], orphan: false }],
    freedBytes: 5,
  })
  const schedule = await begin()
  await clock.advance(DAY)
  await until(() => log.lines.length === 3, 'it has said so')
  assert.deepEqual(
    pruner.calls.map(({ kind }) => kind),
    ['look'],
  )
  assert.deepEqual(
    log.lines.map(({ level, message }) => `${level} ${message}`),
    ['info prune would remove a reference', 'info prune would remove a manifest', 'info dry run finished: nothing was removed'],
  )
  await settle()
  await schedule.stop()
})

test('A run that is refused, or fails, is logged, and the next one comes all the same', async (t) => {
  const { pruner, clock, log, begin } = await scheduled(t)
  const errors = [new PruneRefused('the clock is behind'), new Error('the disk failed')]
  pruner.answer = () => {
    throw errors.shift() ?? new Error('nothing is left')
  }
  const schedule = await begin()
  for (const runs of [1, 2]) {
    await clock.advance(DAY)
    await until(() => pruner.calls.length === runs && clock.sleeping === 1, 'it has run')
  }
  assert.deepEqual(
    log.lines.map(({ level, message }) => `${level} ${message}`),
    ['warn nothing was pruned', 'error prune failed'],
  )
  await schedule.stop()
})

const waits: [lastMs: number | undefined, waitMs: number][] = [
  [undefined, DAY],
  [10 * DAY, DAY],
  [9.5 * DAY, DAY / 2],
  [9 * DAY, 0],
  [1 * DAY, 0],
  [11 * DAY, DAY],
]
for (const [lastMs, waitMs] of waits) {
  test(`On day 10, after a last run on day ${lastMs === undefined ? 'nobody knows' : lastMs / DAY}, the next one comes in ${waitMs / HOUR} hours`, () => {
    assert.equal(waitFor(lastMs, DAY, 10 * DAY), waitMs)
  })
}

test('The rules are those of the settings', async () => {
  assert.deepEqual(rulesOf({ ...SETTINGS, type: 'created', count: 3 }), { olderThan: { by: 'created', ageMs: 30 * DAY }, count: 3 })
  const { matches, ...rest } = rulesOf({ ...SETTINGS, type: 'pattern', patterns: await parsePatterns('quay') })
  assert.deepEqual([matches?.('quay.io/x:1'), matches?.('docker.io/x:1'), rest], [true, false, {}])
})

test('A note says when the last run was; anything else is no note', () => {
  assert.deepEqual(decodePruneNote(encodePruneNote({ lastMs: 1_700_000_000_000 })), { lastMs: 1_700_000_000_000 })
  for (const text of ['', '{}', 'null', '{"last":5}', '{"last":"yesterday"}'])
    assert.throws(() => decodePruneNote(text), { name: 'RecordError' }, text)
})
