/** What the service manager is told, in which order, and what no more. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type ServiceManager, serviceManager } from '../../src/observe/notify.ts'
import { fakeNotify, WRITE_DOWN } from '../support/systemd-notify.ts'

/** It is slow to tell of everything but `READY=1`. */
async function slowlyTold(t: TestContext) {
  const env: Record<string, string> = {}
  const told = await fakeNotify(t, env, `case "$1" in READY=1) ;; *) /bin/sleep 0.05 ;; esac; ${WRITE_DOWN}`)
  const manager = serviceManager({ env, onFailure: (why) => assert.fail(why) })
  return { manager, told: async () => (await told()).map((line) => line.split(' ')[1]) }
}

const sequences: [sentence: string, tell: (manager: ServiceManager) => Promise<void>[], wanted: string[]][] = [
  [
    'that a reload has begun before it hears that it is over, however fast that is',
    (manager) => [manager.reloading('reading'), manager.ready('serving')],
    ['RELOADING=1', 'READY=1'],
  ],
  [
    'of no reload that is over after the server began to stop',
    (manager) => [manager.reloading('reading'), manager.stopping('ending', 1000), manager.ready('serving')],
    ['RELOADING=1', 'STOPPING=1'],
  ],
]
for (const [sentence, tell, wanted] of sequences) {
  test(`The service manager is told ${sentence}`, async (t) => {
    const { manager, told } = await slowlyTold(t)
    await Promise.all(tell(manager))
    assert.deepEqual(await told(), wanted)
  })
}

test('A time that the service manager compares with its own is told with a reload', async (t) => {
  const env: Record<string, string> = {}
  const told = await fakeNotify(t, env)
  const nowUs = () => Number(process.hrtime.bigint() / 1000n)
  const beforeUs = nowUs()
  await serviceManager({ env, onFailure: (why) => assert.fail(why) }).reloading('reading the configuration')
  const [, us] = /^\/run\/notify RELOADING=1 MONOTONIC_USEC=(\d+) STATUS=reading the configuration$/.exec((await told())[0] ?? '') ?? []
  assert.ok(Number(us) >= beforeUs && Number(us) <= nowUs(), us)
})

test('A status is told on one line, and of a long one the beginning', async (t) => {
  const env: Record<string, string> = {}
  const told = await fakeNotify(t, env, 'printf "%s\\n" "$*" >> "$TOLD"')
  await serviceManager({ env, onFailure: (why) => assert.fail(why) }).ready(`two\nlines, ${'x'.repeat(200_000)}`)
  assert.match((await told()).join('\n'), /^READY=1 STATUS=two\\nlines, x{400,600}…$/)
})

test('A program that cannot be started is a failure to tell, and no more', async (t) => {
  const env: Record<string, string> = {}
  await fakeNotify(t, env)
  env.LARGE = 'x'.repeat(200_000) // more than a variable may have: E2BIG
  const failures: string[] = []
  await serviceManager({ env, onFailure: (why) => failures.push(why) }).ready('serving')
  assert.deepEqual(failures, ['cannot tell the service manager READY=1: spawn E2BIG'])
})

test('Where nobody asks to be told, nothing is started', async () => {
  const manager = serviceManager({ env: { PATH: '/nowhere' }, onFailure: (why) => assert.fail(why) })
  await Promise.all([manager.ready('serving'), manager.reloading('reading'), manager.stopping('ending', 1)])
})
