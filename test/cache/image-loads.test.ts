/** Images that somebody has the running server load: what is queued already is joined, and the queue is bounded. */
import assert from 'node:assert/strict'
import { type ImageLoadOptions, ImageLoadQueue, LoadsFull, MOST_QUEUED } from '../../src/cache/image-loads.ts'
import { formatImageName, type ImageName, parseImageName } from '../../src/oci/image-name.ts'
import type { Platform } from '../../src/oci/manifest.ts'
import { Gate } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { cacheTest, type Ground } from './support.ts'

const [AMD, ARM]: [Platform, Platform] = [
  { os: 'linux', architecture: 'amd64' },
  { os: 'linux', architecture: 'arm64' },
]
const name = (text: string) => parseImageName(`quay.io/some/${text}`)
const many = (count: number) => Array.from({ length: count }, (_, i) => name(`app:${i}`))

type Held = { readonly queue: ImageLoadQueue; readonly gate: Gate; readonly finish: () => Promise<void> }

/** One image, `first:1`, is being loaded, and its registry is slow. */
async function held(ground: Ground, concurrency = 4): Promise<Held> {
  const gate = new Gate()
  await ground.start()
  ground.hub().always('getManifest', { after: gate.opened, error: 'notFound' })
  const load = { platforms: [AMD], referrers: false, concurrency, imageFile: undefined, preloadImages: undefined }
  const queue = new ImageLoadQueue({ newLoader: (options) => ground.cache.newLoader(options), settings: { load }, log: ground.log })
  queue.load([name('first:1')], {})
  await until(() => queue.progress?.running === 1, 'it is being loaded')
  const finish = async () => {
    gate.open()
    await queue.stop()
  }
  return { queue, gate, finish }
}

const joins: [what: string, images: readonly ImageName[], options: ImageLoadOptions, joined: readonly string[], listed: number][] = [
  ['the image that is being loaded', [name('first:1')], {}, ['quay.io/some/first:1'], 1],
  ['the same options, said', [name('first:1')], { platforms: [AMD, AMD], referrers: false }, ['quay.io/some/first:1'], 1],
  ['another tag', [name('first:2')], {}, [], 2],
  ['another platform', [name('first:1')], { platforms: [ARM] }, [], 2],
  ['more platforms', [name('first:1')], { platforms: 'all' }, [], 2],
  ['referrers, too', [name('first:1')], { referrers: true }, [], 2],
  ['one that is new beside it', [name('first:1'), name('other:1')], {}, ['quay.io/some/first:1'], 2],
  ['one twice', [name('other:1'), name('other:1')], {}, [], 2],
]
for (const [what, images, options, joined, listed] of joins) {
  cacheTest(`A request for ${what} queues ${listed - 1} image(s)`, async (ground) => {
    const { queue, finish } = await held(ground)
    assert.deepEqual(queue.load(images, options).map(formatImageName), joined)
    assert.equal(queue.progress?.listed, listed)
    assert.deepEqual(queue.load(images, options).map(formatImageName), [...new Set(images.map(formatImageName))], 'by now all are queued')
    assert.equal(queue.progress?.listed, listed)
    await finish()
  })
}

cacheTest('An image whose registry hangs takes one place, and what others ask for is loaded beside it', async (ground) => {
  const { queue, finish } = await held(ground, 2)
  const other = ground.hub('ghcr.io')
  for (const tag of ['1', '2', '3']) other.content.addImage('some/app', tag, { config: { tag } })
  for (const tag of ['1', '2', '3']) queue.load([parseImageName(`ghcr.io/some/app:${tag}`)], { platforms: 'all' })
  await until(() => queue.progress?.complete === 3, 'they are loaded')
  assert.deepEqual(queue.progress, { listed: 4, complete: 3, failed: 0, running: 1 })
  await finish()
})

cacheTest('Images are loaded in the order in which they were asked for, no more at a time than there are places', async (ground) => {
  const { queue, gate, finish } = await held(ground, 1)
  queue.load([name('b:1'), name('a:1')], {})
  queue.load([name('c:1')], {})
  assert.equal(queue.progress?.running, 1)
  gate.open()
  await until(() => queue.progress?.failed === 4, 'all are over')
  const asked = ground
    .hub()
    .callsOf('getManifest')
    .map(({ repository }) => repository)
  assert.deepEqual([...new Set(asked)], ['some/first', 'some/b', 'some/a', 'some/c'])
  await finish()
})

cacheTest('A stop ends what is being loaded, and begins nothing else', async (ground) => {
  const { queue, finish } = await held(ground, 1)
  queue.load([name('b:1')], {})
  await queue.stop()
  queue.load([name('c:1')], {})
  assert.deepEqual(queue.progress, { listed: 3, complete: 0, failed: 0, running: 0 })
  await finish()
})

cacheTest('What is over can be asked for again', async (ground) => {
  const { queue, gate, finish } = await held(ground)
  gate.open()
  await until(() => queue.progress?.failed === 1, 'it is over')
  assert.deepEqual(queue.load([name('first:1')], {}), [])
  await until(() => queue.progress?.failed === 2, 'it was tried again')
  assert.deepEqual(queue.progress, { listed: 2, complete: 0, failed: 2, running: 0 })
  await finish()
})

const fullness: [count: number, fits: boolean][] = [
  [MOST_QUEUED - 1, true],
  [MOST_QUEUED, false],
  [MOST_QUEUED + 1, false],
]
for (const [count, fits] of fullness) {
  cacheTest(`Beside one that is queued, ${count} more are ${fits ? 'taken' : 'too many, and none of them is queued'}`, async (ground) => {
    const { queue, finish } = await held(ground)
    if (fits) assert.deepEqual(queue.load(many(count), {}), [])
    else assert.throws(() => queue.load(many(count), {}), LoadsFull)
    assert.equal(queue.progress?.listed, fits ? count + 1 : 1)
    assert.deepEqual(queue.load([name('first:1')], {}).length, 1, 'what is queued is joined, though there is no place')
    if (fits) assert.throws(() => queue.load([name('last:1')], {}), /1000 images may be queued: 1000 are, and 1 more is too many/)
    await finish()
  })
}
