/** Many images: some at a time, each with a result, and the bad ones stop none. */
import assert from 'node:assert/strict'
import { type Listed, LoadRun } from '../../src/cache/load-run.ts'
import { parseImageName } from '../../src/oci/image-name.ts'
import { Gate } from '../support/scripted-upstream.ts'
import { cacheTest, type Ground, settle } from './support.ts'

const OPTIONS = { platforms: 'all', referrers: false, urgency: 'client' } as const
const image = (name: string): Listed => ({ image: parseImageName(`quay.io/some/${name}`) })

function newRun(ground: Ground, items: readonly Listed[], onResult: (name: string) => void = () => {}): LoadRun<Listed> {
  const loader = ground.cache.newLoader(OPTIONS)
  return new LoadRun(items, { loader, concurrency: 2, onResult: (_, { name }) => onResult(name) })
}

const resultsOf = (run: LoadRun<Listed>) => run.images.map(({ progress: { name, result } }) => `${name} ${result?.is}`)

cacheTest('One bad image does not stop the others, and a line that is no name fails alone', async (ground) => {
  await ground.start()
  for (const name of ['a', 'c']) ground.hub().content.addImage(`some/${name}`, 'latest', { config: { name } })
  const told: string[] = []
  const run = newRun(ground, [image('a'), image('b'), { text: 'Not Good', problem: 'it is no name' }, image('c')], (name) =>
    told.push(name),
  )
  await run.run(new AbortController().signal)
  const results = ['quay.io/some/a:latest loaded', 'quay.io/some/b:latest failed', 'Not Good failed', 'quay.io/some/c:latest loaded']
  assert.deepEqual(resultsOf(run), results)
  assert.equal(told.length, 4)
  assert.deepEqual(run.images[2]?.progress.result, { is: 'failed', why: 'it is no name', warnings: [] })
})

cacheTest('No more images are loaded at a time than were asked for, and what is stopped says so', async (ground) => {
  await ground.start()
  const gate = new Gate()
  ground.hub().always('getManifest', { after: gate.opened })
  const run = newRun(ground, ['a', 'b', 'c', 'd'].map(image))
  const stopping = new AbortController()
  const done = run.run(stopping.signal)
  await settle()
  assert.deepEqual(
    run.images.map(({ progress }) => progress.phase),
    ['manifests', 'manifests', 'waiting', 'waiting'],
  )
  stopping.abort(new Error('asked to stop'))
  await done
  assert.deepEqual(new Set(run.images.map(({ progress }) => progress.result?.is)), new Set(['stopped']))
  gate.open()
})
