/** What somebody removes from the store while the server runs is fetched again: never a 5xx, nor a cut body, while the upstream is there. */
import assert from 'node:assert/strict'
import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digestFileName, digestOf } from '../../src/oci/digest.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import type { RawResponse } from '../support/raw-http.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const NAME = '/v2/library/alpine'
const LAYER = Buffer.alloc(300_000, 'layer')
const NOTHING = Buffer.alloc(0)

type Asked = { readonly path: string; readonly bytes: Buffer; readonly range?: readonly [number, number] }

/** A server that has an index, an image and its two blobs, and knows of them whatever it has not in memory after a `restart`. */
async function pulled(t: TestContext, restart: boolean) {
  const hub = await startFakeRegistry(t)
  const registries = [entry(hub, 'docker.io')]
  const image = hub.addImage('library/alpine', undefined, { layers: [LAYER] })
  const index = hub.addIndex('library/alpine', '3', [{ digest: image.digest, platform: { os: 'linux', architecture: 'amd64' } }])
  const [layer] = image.layers
  const bytesOf = (digest: typeof index) => hub.content.manifest('library/alpine', digest)?.bytes ?? NOTHING
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', repository: 'library/alpine', tag: undefined }))
  assert(layer !== undefined && digestOf(config) === image.config)
  const asked: Asked[] = [
    { path: 'manifests/3', bytes: bytesOf(index) },
    { path: `manifests/${index}`, bytes: bytesOf(index) },
    { path: `manifests/${image.digest}`, bytes: image.bytes },
    { path: `blobs/${image.config}`, bytes: config },
    { path: `blobs/${layer}`, bytes: LAYER },
    { path: `blobs/${layer}`, bytes: LAYER, range: [200_000, 299_999] },
  ]
  const first = await startServer(t, { registries, budgets: { presenceMs: 10 } })
  for (const { path } of asked) assert.equal((await first.get(`${NAME}/${path}`)).status, 200)
  const files = {
    'the record of an image': `img/${digestFileName(image.digest)}`,
    'the record of an index': `fat/${digestFileName(index)}`,
    'a layer': `blobs/${digestFileName(layer)}`,
    'a config': `blobs/${digestFileName(image.config)}`,
  }
  await until(async () => {
    const there = await first.files()
    return (
      Object.values(files).every((file) => there.includes(file)) && there.filter((file) => /^refs\/[0-9a-f]{64}$/.test(file)).length >= 2
    )
  }, 'all is stored')
  if (!restart) return { hub, server: first, asked, files }
  await first.stop()
  return { hub, server: await startServer(t, { registries, imagePath: first.imagePath, budgets: { circuitMs: 10 } }), asked, files }
}

function get(server: TestServer, { path, range }: Asked): Promise<RawResponse> {
  return server.get(`${NAME}/${path}`, range === undefined ? {} : { range: `bytes=${range.join('-')}` })
}

/** 502, or 503 once the circuit is open. */
function isTrouble({ status }: RawResponse): boolean {
  return status === 502 || status === 503
}

function wantedBytes({ bytes, range }: Asked): Buffer {
  return range === undefined ? bytes : bytes.subarray(range[0], range[1] + 1)
}

const DIRECTORIES = ['blobs', 'img', 'fat', 'refs', 'pulls', 'quarantine']
const removals: [what: string, paths: readonly string[]][] = [
  ...['the record of an image', 'the record of an index', 'a layer', 'a config'].map((file): [string, string[]] => [file, [file]]),
  ...DIRECTORIES.map((name): [string, string[]] => [`the directory ${name}`, [name]]),
  ['everything', DIRECTORIES],
  ['the directory of the store', ['.']],
]

for (const [what, paths] of removals) {
  for (const restart of [false, true]) {
    const when = restart ? 'after a restart' : 'right after it was pulled'
    const setUp = async (t: TestContext) => {
      const bench = await pulled(t, restart)
      const files: Readonly<Record<string, string>> = bench.files
      for (const path of paths) await rm(join(bench.server.imagePath, files[path] ?? path), { recursive: true })
      return bench
    }

    test(`${what} is removed ${when}: everything is served, whole, and is there again for the next restart`, async (t) => {
      const { hub, server, asked, files } = await setUp(t)
      for (const each of [...asked, ...asked.toReversed()]) {
        const response = await get(server, each)
        assert.equal(response.status, each.range === undefined ? 200 : 206, `${each.path}: ${response.body.subarray(0, 200)}`)
        assert(response.body.equals(wantedBytes(each)), each.path)
        const head = await server.head(`${NAME}/${each.path}`)
        assert.deepEqual([head.status, head.header('content-length')], [200, String(each.bytes.length)], each.path)
      }
      await until(async () => {
        const there = await server.files()
        return Object.values(files).every((file) => there.includes(file))
      }, 'it is stored again')
      await server.stop()
      await hub.stop()
      const next = await startServer(t, { registries: [entry(hub, 'docker.io')], imagePath: server.imagePath })
      for (const each of asked) {
        assert.equal((await get(next, each)).header('cache-status'), 'ociregistry; hit', each.path)
      }
    })

    if (restart)
      test(`${what} is removed ${when}, and the upstream is gone: what is there is served, the rest is trouble upstream`, async (t) => {
        const { hub, server, asked } = await setUp(t)
        await hub.stop()
        for (const each of [...asked, ...asked]) {
          const response = await get(server, each)
          if (response.status < 300) assert(response.complete && response.body.equals(wantedBytes(each)), each.path)
          else assert.ok(isTrouble(response), `${each.path}: ${response.status} ${response.body}`)
        }
        assert.deepEqual(
          server.log.lines.filter(({ fields }) => fields.bug === true),
          [],
        )
      })
  }
}

test('a manifest that is gone from the store is gone from lists, too, as soon as somebody asked for it', async (t) => {
  const { hub, server, files } = await pulled(t, true)
  await hub.stop()
  assert.deepEqual((await server.get(`${NAME}/tags/list`)).json(), { name: 'library/alpine', tags: ['3'] })
  await rm(join(server.imagePath, files['the record of an index']))
  assert.equal((await server.head(`${NAME}/manifests/3`)).status, 200, 'HEAD reads nothing')
  assert.ok(isTrouble(await server.get(`${NAME}/manifests/3`)))
  assert.ok(isTrouble(await server.head(`${NAME}/manifests/3`)))
  assert.ok(isTrouble(await server.get(`${NAME}/tags/list`)))
})

test('a record that is taken out and put back is found', async (t) => {
  const { hub, server, files } = await pulled(t, true)
  await hub.stop()
  const [from, aside] = [join(server.imagePath, 'fat'), join(server.imagePath, 'aside')]
  await rename(from, aside)
  assert.ok(isTrouble(await server.get(`${NAME}/manifests/3`)))
  await rename(aside, from)
  assert.equal((await server.get(`${NAME}/manifests/3`)).header('cache-status'), 'ociregistry; hit')
  assert.deepEqual(await readdir(from), [files['the record of an index'].slice('fat/'.length)])
})
