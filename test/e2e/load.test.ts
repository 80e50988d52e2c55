/** The built file loads a store, is killed in the middle of that, goes on, and a server without any network serves what it loaded. */
import assert from 'node:assert/strict'
import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { hangAt } from '../support/fake-registry-faults.ts'
import { ask } from './support/http-client.ts'
import { until } from './support/poll.ts'
import { run, start } from './support/processes.ts'
import { install } from './support/server.ts'

const LAYER_BYTES = 8 * 1024 * 1024

test('load that is killed loses nothing that was complete, goes on where it was, and its store serves air-gapped', async (t) => {
  const registry = await startFakeRegistry(t)
  const done = registry.addImage('team/done', '1')
  const layer = registry.content.addGeneratedBlob('big', LAYER_BYTES)
  const big = registry.addImage('team/big', '1', { layers: [layer] })
  const { program, imagePath, ...server } = await install(t, [{ name: 'quay.io', url: registry.origin }], { airGapped: 'false' })
  const list = join(imagePath, '..', 'list.txt')
  await writeFile(list, 'quay.io/team/done:1\nquay.io/team/big:1\n')
  const args = [program, 'load', '--config-file', join(imagePath, '..', 'config.yaml'), '--image-file', list, '--log-level', 'error']
  const fault = registry.fault({ match: { digest: layer }, do: [hangAt(LAYER_BYTES - 1_000_000)] })
  const first = start(t, 'load', process.execPath, args)
  await until('one image is loaded, and most of the other', async () => {
    const spooled = await Promise.all(
      (await readdir(join(imagePath, 'pulls')).catch(() => [])).map((name) => stat(join(imagePath, 'pulls', name)).catch(() => undefined)),
    )
    return first.stderr().includes('loaded: quay.io/team/done:1') && spooled.some((file) => (file?.size ?? 0) > LAYER_BYTES / 2)
  })
  await first.stop('SIGKILL')
  fault.remove()
  registry.ledger.clear()
  const second = await run(process.execPath, args)
  assert.equal(second.code, 0, second.stderr)
  assert.match(second.stdout, /^quay\.io\/team\/done:1 +complete/m)
  assert.match(second.stdout, /^quay\.io\/team\/big:1 +loaded/m)
  const [again] = registry.ledger.requests({ digest: layer })
  assert.match(again?.headers.range ?? '', /^bytes=[1-9]\d*-$/)
  await registry.stop()
  await server.start()
  for (const [name, image] of [
    ['done', done],
    ['big', big],
  ] as const) {
    const targets: readonly (string | Digest)[] = [
      'manifests/1',
      `manifests/${image.digest}`,
      ...[image.config, ...image.layers].map((digest) => `blobs/${digest}`),
    ]
    for (const target of targets) assert.equal((await ask(`${server.url}/v2/team/${name}/${target}?ns=quay.io`)).status, 200, target)
  }
})
