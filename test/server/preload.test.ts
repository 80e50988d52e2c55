/** preloadImages: the service listens at once, loads beside serving, and is not kept from anything by what fails. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Config } from '../../src/config/config.ts'
import type { Service } from '../../src/server/service.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { hang } from '../support/fake-registry-faults.ts'
import { temporaryDirectory } from '../support/files.ts'
import { entry } from '../support/server.ts'
import { get, serve } from '../support/service.ts'
import { until } from '../support/until.ts'

async function preloading(t: TestContext, list: string) {
  const hub = await startFakeRegistry(t)
  const directory = await temporaryDirectory(t)
  const preloadImages = join(directory, 'list.txt')
  await writeFile(preloadImages, list)
  const load = { preloadImages, imageFile: undefined, platforms: 'all', referrers: false, concurrency: 4 } as const
  const config: Partial<Config> = { imagePath: join(directory, 'images'), registries: [entry(hub, 'docker.io')], load }
  return { hub, config, preloadImages }
}

const status = async (service: Service) => (await get(service, '/cmd/status')).body.toString()

const isSaid = (log: { readonly lines: readonly { readonly message: string }[] }, message: string) =>
  log.lines.some((line) => line.message === message)

test('what is listed is loaded beside serving, and is there when the registry is not', async (t) => {
  const { hub, config } = await preloading(t, 'alpine:3\n')
  const { layers, bytes } = hub.addImage('library/alpine', '3')
  const first = await serve(t, config)
  await until(() => isSaid(first.log, 'image preloaded'), 'image preloaded')
  await first.stop()
  await hub.stop()
  const second = await serve(t, { ...config, airGapped: true })
  assert.ok((await get(second, '/v2/library/alpine/manifests/3')).body.equals(bytes))
  assert.equal((await get(second, `/v2/library/alpine/blobs/${layers[0]}`)).status, 200)
  await until(() => isSaid(second.log, 'images of the preload list'), 'images of the preload list')
  assert.ok(!isSaid(second.log, 'an image of the preload list is missing'))
  await second.stop()
})

test('a registry that hangs keeps the service neither from listening and serving nor from stopping', async (t) => {
  const { hub, config } = await preloading(t, 'alpine:3\n')
  hub.addImage('library/alpine', '3')
  hub.addImage('library/bash', '5')
  hub.fault({ match: { repository: 'library/alpine' }, do: [hang()] })
  const service = await serve(t, config)
  await hub.ledger.arrived({ repository: 'library/alpine' })
  assert.equal((await get(service, '/v2/library/bash/manifests/5')).status, 200)
  assert.match(await status(service), /^preload: 0 of 1 image\(s\) complete, 0 failed, 1 being loaded$/m)
  await service.stop()
})

test('a list that is not there is logged, and the service serves', async (t) => {
  const { config } = await preloading(t, '')
  const load = { ...(config.load as Config['load']), preloadImages: '/none/*.txt' }
  const service = await serve(t, { ...config, load })
  await until(() => isSaid(service.log, 'cannot preload images'), 'cannot preload images')
  assert.equal((await get(service, '/v2/')).status, 200)
  assert.match(await status(service), /^preload: 0 of 0 .*; the list cannot be read: no files matched "\/none\/\*\.txt"$/m)
  await service.stop()
})
