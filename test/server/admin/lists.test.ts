/** The lists of the admin API: columns, filters, counts. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Catalog } from '../../../src/cache/catalog.ts'
import { type Digest, digestFileName, digestHex, digestOf } from '../../../src/oci/digest.ts'
import { parseManifest } from '../../../src/oci/manifest.ts'
import { OCI_MANIFEST } from '../../../src/oci/media-type.ts'
import { parseRegistry, parseRepository } from '../../../src/oci/name.ts'
import { prefersJson } from '../../../src/server/admin/answer.ts'
import { blobRows, manifestRows } from '../../../src/server/admin/inventory.ts'
import { startFakeRegistry } from '../../support/fake-registry.ts'
import { entry } from '../../support/server.ts'
import { JSON_PLEASE, layAdmin, pull } from './support.ts'

const TIME = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`

/** Two images, and an index whose one image was pulled by digest, too. */
async function stocked(t: TestContext) {
  const hub = await startFakeRegistry(t)
  const [app, web] = [hub.addImage('team/app', '1.0'), hub.addImage('web', 'latest')]
  const index = hub.addIndex('team/app', 'multi', [{ digest: app.digest }])
  const ground = await layAdmin(t, { registries: [entry(hub, 'quay.io')] })
  await pull(ground.service, 'team/app', '1.0', [...app.layers, app.config], 'quay.io')
  await pull(ground.service, 'web', 'latest', web.layers, 'quay.io')
  await pull(ground.service, 'team/app', 'multi', [], 'quay.io')
  await pull(ground.service, 'team/app', app.digest, [], 'quay.io')
  return { ...ground, app, web, index }
}

test('Manifests are listed sorted, once under their tags, with two blanks before the time of the first pull', async (t) => {
  const { text, app, web, index } = await stocked(t)
  const lines = (await text('/cmd/manifest/list')).split('\n')
  const row = (reference: string, digest: Digest) => new RegExp(`^${reference} ${digestHex(digest)}  ${TIME} ${TIME}$`)
  assert.equal(lines[0], 'URL DIGEST CREATED PULLED')
  assert.match(lines[1] ?? '', row('quay.io/team/app:1.0', app.digest))
  assert.match(lines[2] ?? '', row('quay.io/team/app:multi', index))
  assert.match(lines[3] ?? '', row('quay.io/web:latest', web.digest))
  assert.deepEqual(lines.slice(4), [''])
})

test('A manifest that was pulled by digest only is listed so, with ten digits of it', async (t) => {
  const hub = await startFakeRegistry(t)
  const { digest } = hub.addImage('app', '1')
  const { text, service } = await layAdmin(t, { registries: [entry(hub, 'quay.io')] })
  await pull(service, 'app', digest, [], 'quay.io')
  const [, line = ''] = (await text('/cmd/manifest/list')).split('\n')
  assert.ok(line.startsWith(`quay.io/app@sha256:${digestHex(digest).slice(0, 10)} ${digestHex(digest)}  `), line)
})

test('Under each image stand its layers and then its config; indexes are no images', async (t) => {
  const { text, app, web } = await stocked(t)
  const lines = (await text('/cmd/image/list')).trimEnd().split('\n')
  const blobs = (image: typeof app) => [...image.layers, image.config].map((digest) => `- ${digest}`)
  assert.deepEqual(
    lines.filter((line) => line.startsWith('- ')),
    [...blobs(app), ...blobs(web)],
  )
  assert.deepEqual(
    lines.filter((line) => !line.startsWith('- ')).map((line) => line.split(' ', 1)[0]),
    ['URL', 'quay.io/team/app:1.0', 'quay.io/web:latest'],
  )
})

test('Blobs are listed sorted, with how many manifests need each', async (t) => {
  const { text, app, web } = await stocked(t)
  const all = [...new Set([...app.layers, app.config, ...web.layers, web.config])].map(digestFileName).sort()
  const lines = (await text('/cmd/blob/list')).trimEnd().split('\n')
  assert.equal(lines[0], 'URL REFCNT')
  assert.deepEqual(
    lines.slice(1).map((line) => line.split(' ')[0]),
    all,
  )
  for (const line of lines.slice(1)) assert.match(line, /^[0-9a-f]{64} [12]$/)
})

test('Lists are filtered by expressions, blobs and parts of digests', async (t) => {
  const { text, app, web } = await stocked(t)
  const names = async (target: string) =>
    (await text(target))
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith('- '))
      .slice(1)
      .map((line) => line.split(' ')[0])
  const cases: [target: string, want: string[]][] = [
    ['/cmd/manifest/list?pattern=web', ['quay.io/web:latest']],
    ['/cmd/manifest/list?pattern=web,multi', ['quay.io/team/app:multi', 'quay.io/web:latest']],
    ['/cmd/manifest/list?pattern=%5Equay%5C.io/team/', ['quay.io/team/app:1.0', 'quay.io/team/app:multi']],
    ['/cmd/manifest/list?pattern=(%3Fi)TEAM.*1', ['quay.io/team/app:1.0']],
    ['/cmd/manifest/list?pattern=', ['quay.io/team/app:1.0', 'quay.io/team/app:multi', 'quay.io/web:latest']],
    ['/cmd/manifest/list?count=2', ['quay.io/team/app:1.0', 'quay.io/team/app:multi']],
    ['/cmd/manifest/list?count=-1&pattern=web', ['quay.io/web:latest']],
    ['/cmd/image/list?pattern=multi', []],
    ['/cmd/image/list?count=1', ['quay.io/team/app:1.0']],
    [`/cmd/image/list?digest=${digestHex(web.config).slice(5, 30)}`, ['quay.io/web:latest']],
    [`/cmd/image/list?digest=${app.layers[0]}&pattern=web`, ['quay.io/web:latest']],
    [`/cmd/image/list?digest=${web.digest}`, []],
    [`/cmd/blob/list?substr=${digestHex(web.config).slice(0, 12)}`, [digestHex(web.config)]],
  ]
  for (const [target, want] of cases) assert.deepEqual(await names(target), want, target)
})

test('Where nothing matches every list says so, in the words that scripts know', async (t) => {
  const { ask } = await stocked(t)
  const targets = [
    'manifest/list?pattern=nothing',
    'image/list?digest=ffffffffffff',
    'blob/list?substr=x',
    'manifest/list?count=0',
    'blob/list?count=-7',
  ]
  for (const target of targets) {
    const { status, body } = await ask(`/cmd/${target}`)
    assert.deepEqual([status, body.toString()], [200, 'no manifests found\n'], target)
  }
})

test('Programs that ask for JSON get it, with whole digests, times with a zone, and whether there is more', async (t) => {
  const { ask, app, web } = await stocked(t)
  const json = async (target: string) => {
    const answer = await ask(target, { headers: JSON_PLEASE })
    assert.equal(answer.header('content-type'), 'application/json')
    return answer.json() as Record<string, { [key: string]: unknown }[]>
  }
  const { manifests = [], more } = await json('/cmd/manifest/list?count=1')
  assert.deepEqual(
    [manifests.map(({ reference, digest, kind }) => [reference, digest, kind]), more],
    [[['quay.io/team/app:1.0', app.digest, 'image']], true],
  )
  assert.match(String(manifests[0]?.created), /^\d{4}-.*Z$/)
  const { images = [] } = await json('/cmd/image/list?pattern=web')
  assert.deepEqual(
    images.map(({ blobs }) => blobs),
    [[...web.layers, web.config]],
  )
  const { blobs } = await json(`/cmd/blob/list?substr=${web.config}`)
  assert.deepEqual(blobs, [{ digest: web.config, uses: 1 }])
  assert.deepEqual(await json('/cmd/blob/list?substr=x'), { blobs: [], more: false })
})

const accepts: [accept: string | undefined, json: boolean][] = [
  [undefined, false],
  ['*/*', false],
  ['application/json', true],
  ['APPLICATION/JSON; charset=utf-8', true],
  ['application/json, text/plain, */*', true],
  ['text/plain, application/json', false],
  ['text/plain;q=0.5, application/json', true],
  ['application/json;q=0.5, text/*', false],
  ['application/json;q=0', false],
  ['text/html,application/xhtml+xml,*/*;q=0.8', false],
  ['application/json;q=x', false],
]
for (const [accept, json] of accepts) {
  test(`Accept: ${accept} is answered with ${json ? 'JSON' : 'text'}`, () => assert.equal(prefersJson(accept), json))
}

test('Listing ten thousand images lets others have their turn', async () => {
  const catalog = manyImages(10_000)
  let turns = 0
  let done = false
  const others = (async () => {
    while (!done) {
      await new Promise((resolve) => setImmediate(resolve))
      turns++
    }
  })()
  const { rows } = await manifestRows(catalog, () => true, Number.POSITIVE_INFINITY)
  const blobs = await blobRows(catalog, '', Number.POSITIVE_INFINITY)
  done = true
  await others
  assert.deepEqual([rows.length, blobs.rows.length], [10_000, 20_000])
  assert.ok(turns > 1)
})

function manyImages(count: number): Catalog {
  const catalog = new Catalog()
  const [registry, repository] = [parseRegistry('quay.io'), parseRepository('team/app')]
  for (let i = 0; i < count; i++) {
    const part = (name: string) => ({ mediaType: 'x/y', digest: digestOf(Buffer.from(`${name} ${i}`)), size: 1 })
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: part('config'), layers: [part('layer')] }),
    )
    const [digest, imageUrl] = [digestOf(bytes), `quay.io/team/app:${i}`]
    const times = { createdMs: i, pulledMs: i }
    catalog.addManifest(
      { digest, mediaType: OCI_MANIFEST, bytes, imageUrl, registry, repository, ...times },
      parseManifest(bytes, OCI_MANIFEST),
    )
    catalog.setRef({ reference: imageUrl, digest, checkedMs: i, ...times }, 0)
  }
  return catalog
}
