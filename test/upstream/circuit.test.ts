/** When a server is asked, and when not: the circuit by itself, its requests and probes in the hand of the test. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_BUDGETS } from '../../src/upstream/budgets.ts'
import { Circuit, type Pass } from '../../src/upstream/circuit.ts'
import { UpstreamError } from '../../src/upstream/error.ts'
import type { Urgency } from '../../src/upstream/upstream.ts'
import { type Verdict, WELL } from '../../src/upstream/verdict.ts'
import { ManualClock } from '../support/clock.ts'
import { MemoryLog } from '../support/log.ts'

const FAILED: Verdict = { health: 'failed', why: 'ECONNREFUSED' }
const ODD: Verdict = { health: 'failed', why: 'it answered 500', isDoubtful: true }
const UNKNOWN: Verdict = { health: 'unknown' }
const pause = (pauseMs?: number): Verdict => ({ health: 'pause', why: 'it answered 429', pauseMs })
const ever = new AbortController().signal
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class Setup {
  readonly clock = new ManualClock()
  readonly log = new MemoryLog()
  opened = 0
  /** What probes come to, one each; then the last one for all. */
  probeVerdicts: Verdict[] = [FAILED]
  /** When each probe was sent, in ms. */
  readonly probes: number[] = []
  readonly circuit: Circuit

  constructor(random = () => 0.5) {
    const { clock, log } = this
    const onOpened = (): void => void this.opened++
    this.circuit = new Circuit({ name: 'https://r.example', clock, log, random, budgets: DEFAULT_BUDGETS, onOpened })
  }

  enter(signal = ever): Promise<Pass> {
    return this.circuit.enter(async () => {
      this.probes.push(this.clock.monotonic())
      const [verdict = FAILED] = this.probeVerdicts.length > 1 ? this.probeVerdicts.splice(0, 1) : this.probeVerdicts
      return verdict
    }, signal)
  }

  async ask(...verdicts: readonly Verdict[]): Promise<void> {
    for (const verdict of verdicts) (await this.enter()).end(verdict)
  }

  get state(): string {
    return this.circuit.health().state
  }

  may(urgency: Urgency): boolean {
    return this.circuit.mayBeAsked(urgency)
  }

  lines(level: string): string[] {
    return this.log.lines.filter((line) => line.level === level).map(({ message }) => message)
  }
}

const sequences: [title: string, verdicts: readonly Verdict[], state: string, client: boolean, background: boolean][] = [
  ['nothing was asked', [], 'well', true, true],
  ['a success', [WELL], 'well', true, true],
  ['one failure', [FAILED], 'troubled', true, false],
  ['two failures', [FAILED, FAILED], 'troubled', true, false],
  ['three failures', [FAILED, FAILED, FAILED], 'down', false, false],
  ['a success among failures', [FAILED, FAILED, WELL, FAILED, FAILED], 'troubled', true, false],
  ['a success after failures', [FAILED, FAILED, WELL], 'well', true, true],
  ['what says nothing neither counts nor heals', [FAILED, UNKNOWN, FAILED, UNKNOWN, FAILED], 'down', false, false],
  ['a pause that has an end', [pause(5_000)], 'troubled', false, false],
  ['a pause that has none', [pause()], 'troubled', false, false],
]
for (const [title, verdicts, state, client, background] of sequences) {
  test(`${title}: ${state}; clients may ${client ? '' : 'not '}ask, the background may ${background ? '' : 'not '}`, async () => {
    const setup = new Setup()
    await setup.ask(...verdicts)
    assert.deepEqual([setup.state, setup.may('client'), setup.may('background')], [state, client, background])
    assert.equal(setup.opened, state === 'down' ? 1 : 0)
    setup.circuit.stop()
  })
}

async function down(random?: () => number): Promise<Setup> {
  const setup = new Setup(random)
  await setup.ask(FAILED, FAILED, FAILED)
  return setup
}

test('who asks while it is down is refused at once, with the reason and when it is tried again', async () => {
  const setup = await down()
  const message =
    'https://r.example is not asked at present: it failed 3 times in a row, the last time with: ECONNREFUSED; it is tried again in 1 s'
  await assert.rejects(setup.enter(), { name: 'UpstreamError', kind: 'circuitOpen', message, retryAfterMs: 1_000 })
  assert.deepEqual(setup.circuit.health(), {
    state: 'down',
    why: 'ECONNREFUSED',
    since: setup.clock.startedAt,
    retryInMs: 1_000,
  })
})

test('probes come after 1, 2, 4 s and so on to a minute, as long as somebody wants the registry', async () => {
  const setup = await down()
  for (let second = 0; second < 250; second++) {
    await assert.rejects(setup.enter(), { kind: 'circuitOpen' })
    await setup.clock.advance(1_000)
  }
  assert.deepEqual(
    setup.probes.map((ms) => ms / 1000),
    [1, 3, 7, 15, 31, 63, 123, 183, 243],
  )
  assert.deepEqual(setup.lines('warn'), ['upstream is down: it is not asked until it answers a probe'], 'said once')
})

for (const [random, firstMs] of [
  [0, 800],
  [1, 1_200],
] as const) {
  test(`waits vary by a fifth: the first probe after ${firstMs} ms`, async () => {
    const setup = await down(() => random)
    await setup.clock.advance(5_000)
    assert.deepEqual(setup.probes, [firstMs])
  })
}

test('a registry that nobody wants is not probed; the next wish finds the wait over and probes at once', async () => {
  const setup = await down()
  await setup.clock.advance(3_600_000)
  assert.deepEqual([setup.probes, setup.clock.sleeping], [[1_000], 0], 'one for those whose requests failed')
  await assert.rejects(setup.enter(), { kind: 'circuitOpen', message: /it is being tried again$/ })
  await settled()
  assert.deepEqual(setup.probes, [1_000, 3_600_000])
})

test('to be told that it may not be asked is a wish; to look at its health is none', async () => {
  const setup = await down()
  await setup.clock.advance(10_000)
  setup.circuit.health()
  await settled()
  assert.equal(setup.probes.length, 1)
  assert.equal(setup.may('client'), false)
  await settled()
  assert.equal(setup.probes.length, 2)
})

test('a probe that is answered closes it, and whoever waits goes on', async () => {
  const setup = await down()
  setup.probeVerdicts = [FAILED, WELL]
  let went = 0
  const waiting = (['client', 'background'] as const).map((urgency) => setup.circuit.untilMayBeAsked(urgency).then(() => went++))
  await setup.clock.advance(2_999)
  assert.deepEqual([went, setup.state], [0, 'down'])
  await setup.clock.advance(1)
  await Promise.all(waiting)
  assert.deepEqual([setup.state, setup.may('client'), setup.may('background')], ['well', true, true])
  assert.deepEqual(setup.lines('info'), ['upstream answers again'])
  assert.equal(setup.clock.sleeping, 0)
})

test('one request that fails after a probe was answered opens it again, for longer', async () => {
  const setup = await down()
  setup.probeVerdicts = [WELL, FAILED]
  await setup.clock.advance(1_000)
  assert.equal(setup.state, 'well')
  await setup.ask(FAILED)
  assert.deepEqual(setup.circuit.health().retryInMs, 2_000)
})

for (const [title, probed, state] of [
  ['fails as well', ODD, 'down'],
  ['is answered', WELL, 'well'],
  ['is challenged', UNKNOWN, 'well'],
] as const) {
  test(`after a third failure that is an answer a probe goes out at once, and requests go on; if it ${title}: ${state}`, async () => {
    const setup = new Setup()
    setup.probeVerdicts = [probed]
    await setup.ask(FAILED, FAILED)
    const third = await setup.enter()
    third.end(ODD)
    assert.deepEqual([setup.state, setup.may('client'), setup.may('background')], ['troubled', true, false])
    await settled()
    assert.deepEqual([setup.probes, setup.state, setup.opened], [[0], state, state === 'down' ? 1 : 0])
    setup.circuit.stop()
  })
}

test('an answered probe outweighs error answers for longer each time, until a request succeeds; a request that fails outweighs it', async () => {
  const setup = new Setup()
  setup.probeVerdicts = [WELL]
  for (let second = 0; second < 20; second++) {
    await setup.ask(ODD, ODD, ODD, ODD)
    await settled()
    assert.equal(setup.may('client'), true)
    await setup.clock.advance(1_000)
  }
  assert.deepEqual(setup.probes, [0, 1_000, 3_000, 7_000, 15_000])
  await setup.ask(WELL, ODD, ODD, ODD)
  await settled()
  assert.equal(setup.probes.at(-1), 20_000)
  await setup.ask(FAILED)
  assert.equal(setup.state, 'down')
})

test('a success while the probe is under way voids it', async () => {
  const setup = new Setup()
  setup.probeVerdicts = [FAILED]
  const early = await setup.enter()
  await setup.ask(ODD, ODD, ODD)
  early.end(WELL)
  await settled()
  assert.deepEqual([setup.state, setup.opened], ['well', 0])
})

test('a success starts the count and the waits anew', async () => {
  const setup = await down()
  setup.probeVerdicts = [WELL]
  await setup.clock.advance(1_000)
  await setup.ask(WELL, FAILED, FAILED)
  assert.equal(setup.state, 'troubled')
  await setup.ask(FAILED)
  assert.equal(setup.circuit.health().retryInMs, 1_000)
})

test('any success closes it at once, also of a request that began before', async () => {
  const setup = new Setup()
  const early = await setup.enter()
  await setup.ask(FAILED, FAILED, FAILED)
  early.end(WELL)
  assert.equal(setup.state, 'well')
  assert.equal(setup.may('background'), true)
  await setup.clock.advance(60_000)
  assert.deepEqual(setup.probes, [], 'nobody has to find out')
})

test('requests that began before a success say nothing when they fail late', async () => {
  const setup = new Setup()
  const hanging = await Promise.all([setup.enter(), setup.enter(), setup.enter()])
  await setup.ask(WELL)
  for (const pass of hanging) pass.end(FAILED)
  assert.equal(setup.state, 'well')
})

test('requests that fail while it is open do not put off the probe', async () => {
  const setup = new Setup()
  const [first, second] = [await setup.enter(), await setup.enter()]
  await setup.ask(FAILED, FAILED, FAILED)
  await setup.clock.advance(900)
  first.end(FAILED)
  second.end(FAILED)
  await setup.clock.advance(100)
  assert.deepEqual(setup.probes, [1_000])
})

test('a probe that takes too long failed; a success meanwhile counts all the same', async () => {
  const setup = new Setup()
  const never = (): Promise<Verdict> => new Promise(() => {})
  const early = await setup.circuit.enter(never, ever)
  for (let n = 0; n < 3; n++) (await setup.circuit.enter(never, ever)).end(FAILED)
  await setup.clock.advance(1_000 + DEFAULT_BUDGETS.probeMs)
  assert.equal(setup.circuit.health().why, 'https://r.example did not answer a probe within 10000 ms')
  assert.equal(setup.circuit.health().retryInMs, 2_000)
  assert.equal(setup.may('client'), false)
  await setup.clock.advance(3_000)
  early.end(WELL)
  await setup.clock.advance(DEFAULT_BUDGETS.probeMs)
  assert.equal(setup.state, 'well')
})

test('one failure stops work in the background; it goes on after a probe, and no probe is sent where none waits', async () => {
  const setup = new Setup()
  setup.probeVerdicts = [WELL]
  await setup.ask(FAILED)
  await setup.clock.advance(10_000)
  assert.deepEqual(setup.probes, [])
  await setup.circuit.untilMayBeAsked('client')
  let went = false
  const waiting = setup.circuit.untilMayBeAsked('background').then(() => {
    went = true
  })
  await settled()
  await waiting
  assert.deepEqual([went, setup.probes, setup.state], [true, [10_000], 'well'])
  await setup.ask(FAILED, FAILED)
  assert.equal(setup.state, 'down', 'the failure was not forgotten')
})

test('probes for the background that fail open the circuit for all', async () => {
  const setup = new Setup()
  await setup.ask(FAILED)
  const waiting = assert.rejects(setup.circuit.untilMayBeAsked('background'), { kind: 'unreachable' })
  await setup.clock.advance(2_000)
  assert.deepEqual([setup.probes, setup.state], [[1_000, 2_000], 'down'])
  setup.circuit.stop()
  await waiting
})

test('who waits is released by the signal, with its reason', async () => {
  const setup = await down()
  const reason = new UpstreamError('timeout', 'no patience')
  const controller = new AbortController()
  const waiting = assert.rejects(setup.circuit.untilMayBeAsked('client', controller.signal), (error) => error === reason)
  await settled()
  controller.abort(reason)
  await waiting
  await assert.rejects(setup.circuit.untilMayBeAsked('client', controller.signal), (error) => error === reason)
})

test('while a pause runs nobody is let out, and nobody probes', async () => {
  const setup = new Setup()
  await setup.ask(pause(30_000))
  await setup.clock.advance(12_345)
  const message = 'https://r.example is not asked for another 18 s: it answered 429'
  await assert.rejects(setup.enter(), { kind: 'limited', message, retryAfterMs: 17_655 })
  const waiting = Promise.all([setup.circuit.untilMayBeAsked('client'), setup.circuit.untilMayBeAsked('background')])
  await setup.clock.advance(17_655)
  await waiting
  assert.deepEqual([setup.probes, setup.state, setup.clock.sleeping], [[], 'well', 0])
})

test('the first request after a pause goes alone; those behind it follow its success', async () => {
  const setup = new Setup()
  await setup.ask(pause(1_000))
  await setup.clock.advance(1_000)
  const first = await setup.enter()
  let followed = 0
  const others = [setup.enter(), setup.enter()].map((other) => other.then(() => followed++))
  await setup.clock.advance(DEFAULT_BUDGETS.trialMs - 1)
  assert.equal(followed, 0)
  first.end(WELL)
  await Promise.all(others)
  assert.equal(setup.clock.sleeping, 0)
})

test('those behind it are told what it was told', async () => {
  const setup = new Setup()
  await setup.ask(pause(1_000))
  await setup.clock.advance(1_000)
  const first = await setup.enter()
  const other = assert.rejects(setup.enter(), { kind: 'limited', retryAfterMs: 7_000 })
  first.end(pause(7_000))
  await other
})

test('those behind it do not wait long for its answer, and may leave before that', async () => {
  const setup = new Setup()
  await setup.ask(pause(1_000))
  await setup.clock.advance(1_000)
  await setup.enter()
  const controller = new AbortController()
  const left = assert.rejects(setup.enter(controller.signal), (error) => error === 'left')
  const patient = setup.enter()
  await settled()
  controller.abort('left')
  await left
  await setup.clock.advance(DEFAULT_BUDGETS.trialMs)
  await patient
})

test('pauses without an end grow from a second to a minute until a request succeeds', async () => {
  const setup = new Setup()
  const pauses: (number | undefined)[] = []
  for (let round = 0; round < 8; round++) {
    await setup.ask(pause())
    pauses.push(setup.circuit.health().retryInMs)
    await setup.clock.advance(60_000)
  }
  assert.deepEqual(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  await setup.ask(WELL, pause())
  assert.equal(setup.circuit.health().retryInMs, 1_000)
  assert.deepEqual(setup.lines('warn').length, 2, 'the first of each series')
})

test('many requests that are refused at once make one pause, and the longest that was asked for counts', async () => {
  const setup = new Setup()
  const passes = await Promise.all([1, 2, 3, 4].map(() => setup.enter()))
  const verdicts = [pause(), pause(), pause(9_000), pause(3_000)]
  for (const [index, pass] of passes.entries()) pass.end(verdicts[index] ?? UNKNOWN)
  assert.equal(setup.circuit.health().retryInMs, 9_000)
})

test('a request that began before a pause does not end it', async () => {
  const setup = new Setup()
  const early = await setup.enter()
  await setup.ask(pause(5_000))
  early.end(WELL)
  await assert.rejects(setup.enter(), { kind: 'limited' })
})

test('a probe that is told to wait waits, and the circuit stays open', async () => {
  const setup = await down()
  setup.probeVerdicts = [pause(20_000), WELL]
  const waiting = setup.circuit.untilMayBeAsked('client')
  await setup.clock.advance(20_999)
  await assert.rejects(setup.enter(), { kind: 'limited' })
  assert.deepEqual(setup.probes, [1_000])
  await setup.clock.advance(1)
  await waiting
  assert.deepEqual([setup.probes, setup.state], [[1_000, 21_000], 'well'])
})

test('a pause that is asked for while it is open puts off the probe', async () => {
  const setup = new Setup()
  const early = await setup.enter()
  await setup.ask(FAILED, FAILED, FAILED)
  early.end(pause(5_000))
  await setup.clock.advance(5_000)
  assert.deepEqual(setup.probes, [5_000])
})

test('after it is stopped nothing is counted, nobody waits and nothing is probed', async () => {
  const setup = await down()
  const late = setup.circuit.untilMayBeAsked('client').catch((error) => error.kind)
  setup.circuit.stop()
  assert.equal(await late, 'unreachable')
  await setup.clock.advance(60_000)
  assert.deepEqual([setup.probes, setup.clock.sleeping], [[], 0])
})
