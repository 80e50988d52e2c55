/** What is to be there beside serving: it is loaded behind all others, tried again when that fails, and never asked for when it is complete. */
import assert from 'node:assert/strict'
import type { Listed } from '../../src/cache/load-run.ts'
import { Preload } from '../../src/cache/preload.ts'
import { parseImageName } from '../../src/oci/image-name.ts'
import { Gate, NEVER } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { cacheTest, type Ground, settle } from './support.ts'

const image = (name: string): Listed => ({ image: parseImageName(`quay.io/some/${name}`) })
const MINUTE_MS = 60_000

function newPreload(ground: Ground, list: () => Promise<readonly Listed[]>): Preload {
  const loader = ground.cache.newLoader({ platforms: 'all', referrers: false, urgency: 'background' })
  const airGapped = ground.options.settings?.airGapped ?? false
  return new Preload({ loader, list, concurrency: 4, airGapped, clock: ground.clock, log: ground.log })
}

const said = (ground: Ground, message: string) => ground.log.lines.filter((line) => line.message.startsWith(message))

async function rounds(ground: Ground, count: number): Promise<void> {
  const over = () => said(ground, 'images of the preload list').length + said(ground, 'cannot preload images').length
  await until(() => over() === count, `${count} rounds are over`)
  await settle()
}

async function preloaded(ground: Ground, count: number): Promise<void> {
  await until(() => said(ground, 'image preloaded').length === count, `${count} images are preloaded`)
}

cacheTest(
  'What fails is logged and tried again after a minute, two, four, up to an hour; what is complete is not asked for again',
  async (ground) => {
    await ground.start()
    ground.hub().content.addImage('some/a', 'latest')
    const preload = newPreload(ground, async () => [image('a'), image('b')])
    preload.start()
    await rounds(ground, 1)
    await preloaded(ground, 1)
    assert.deepEqual(preload.progress, { listed: 2, complete: 1, failed: 1, running: 0 })
    const callsFor = (name: string) => ground.hub().calls.filter(({ repository }) => repository === `some/${name}`).length
    assert.equal(callsFor('b'), 1)
    const before = callsFor('a')
    for (const [i, minutes] of [1, 2, 4, 8, 16, 32, 60, 60].entries()) {
      await ground.clock.advance(minutes * MINUTE_MS - 1)
      await settle()
      assert.equal(callsFor('b'), i + 1, `not before ${minutes} minutes`)
      await ground.clock.advance(1)
      await rounds(ground, i + 2)
      assert.equal(callsFor('b'), i + 2, `after ${minutes} minutes`)
    }
    assert.equal(said(ground, 'could not preload an image').length, 9)
    ground.hub().content.addImage('some/b', 'latest')
    await ground.clock.advance(60 * MINUTE_MS)
    await preloaded(ground, 2)
    assert.equal(callsFor('a'), before)
    await rounds(ground, 10)
    assert.deepEqual(preload.progress, { listed: 2, complete: 2, failed: 0, running: 0 })
    await ground.clock.advance(120 * MINUTE_MS)
    await rounds(ground, 10)
    await preload.stop()
  },
)

cacheTest('A list that cannot be read is logged, and read again', async (ground) => {
  await ground.start()
  ground.hub().content.addImage('some/a', 'latest')
  let tries = 0
  const preload = newPreload(ground, async () => {
    if (++tries === 1) throw new Error('no files matched "a.txt"')
    return [image('a')]
  })
  preload.start()
  await rounds(ground, 1)
  assert.deepEqual(preload.progress, { listed: 0, complete: 0, failed: 0, running: 0, problem: 'no files matched "a.txt"' })
  await ground.clock.advance(MINUTE_MS)
  assert.match(String(said(ground, 'cannot preload images')[0]?.fields.error), /no files matched "a\.txt"/)
  await preloaded(ground, 1)
  assert.deepEqual(preload.progress, { listed: 1, complete: 1, failed: 0, running: 0 })
  await preload.stop()
})

cacheTest('What is tried again is being loaded, and has failed no more; a name that has left the list does not count', async (ground) => {
  await ground.start()
  const names = [image('a'), image('b')]
  const preload = newPreload(ground, async () => names)
  preload.start()
  await rounds(ground, 1)
  assert.deepEqual(preload.progress, { listed: 2, complete: 0, failed: 2, running: 0 })
  names.pop()
  const gate = new Gate()
  ground.hub().always('getManifest', { after: gate.opened, error: 'notFound' })
  await ground.clock.advance(MINUTE_MS)
  await until(() => preload.progress.running === 1, 'it is tried again')
  assert.deepEqual(preload.progress, { listed: 1, complete: 0, failed: 0, running: 1 })
  gate.open()
  await rounds(ground, 2)
  assert.deepEqual(preload.progress, { listed: 1, complete: 0, failed: 1, running: 0 })
  await preload.stop()
})

cacheTest('What could not be stored is loaded as soon as the store takes writes again', async (ground) => {
  await ground.start()
  ground.hub().content.addImage('some/a', 'latest')
  ground.space.trouble = { kind: 'full', why: 'the disk is full' }
  const preload = newPreload(ground, async () => [image('a')])
  preload.start()
  await rounds(ground, 1)
  ground.space.trouble = undefined
  ground.cache.storeAgain()
  preload.again()
  await preloaded(ground, 1)
  await preload.stop()
})

cacheTest('Preloading stops at once, in the middle of an image', async (ground) => {
  await ground.start()
  ground.hub().content.addImage('some/a', 'latest')
  ground.hub().plan('openBlob', NEVER)
  const preload = newPreload(ground, async () => [image('a')])
  preload.start()
  await settle()
  await preload.stop()
  assert.equal(said(ground, 'could not preload').length, 0)
})

cacheTest(
  'An air-gapped server only says what of the list is missing, once',
  async (ground) => {
    await ground.start()
    const preload = newPreload(ground, async () => [image('a'), image('b')])
    preload.start()
    await settle()
    await ground.clock.advance(120 * MINUTE_MS)
    await settle()
    const missing = said(ground, 'an image of the preload list is missing').map(({ fields }) => fields.image)
    assert.deepEqual(missing.sort(), ['quay.io/some/a:latest', 'quay.io/some/b:latest']) // both are looked at at once
    assert.equal(ground.upstreams.calls, 0)
    await preload.stop()
  },
  { settings: { airGapped: true } },
)
