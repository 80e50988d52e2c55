/** A disk goes from a connected site to one without a network: loaded there, with one failure that a second run mends; served, pruned and served here. */
import assert from 'node:assert/strict'
import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { status } from '../support/fake-registry-faults.ts'
import { openConnectLog } from './support/connect-log.ts'
import { containerdRefused, startContainerd, writeHosts } from './support/containerd.ts'
import { amd64, arm64, type Index, image, index, oci, randomLayer } from './support/image.ts'
import { run } from './support/processes.ts'
import { lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'
import { install } from './support/server.ts'
import { skopeoCopy } from './support/skopeo.ts'

const skip = lacks('skopeo', 'containerd', 'ctr', 'setpriv') || (await containerdRefused())

const IMAGES = 12
const PRUNED = 4
const nameOf = (i: number) => `quay.io/site/app-${i}:1`

/** Each of two platforms, which share a layer; so do neighbours. */
function addImages(registry: FakeRegistry): Index[] {
  return Array.from({ length: IMAGES }, (_, i) => {
    const base = randomLayer(`base ${Math.floor(i / 2)}`, 50_000, oci.layer)
    const both = index(
      [amd64, arm64].map((platform) => image([base, randomLayer(`${platform.architecture} ${i}`, 20_000, oci.layer)], { platform })),
    )
    for (const { manifest, blobs } of both.images) {
      for (const { bytes } of blobs) registry.content.addBlob(bytes)
      registry.content.addManifest(`site/app-${i}`, undefined, manifest.bytes, OCI_MANIFEST)
    }
    registry.content.addManifest(`site/app-${i}`, '1', both.manifest.bytes, OCI_INDEX)
    return both
  })
}

function digestsOf({ manifest, images }: Index, architecture?: string): string[] {
  const wanted = images.filter(({ platform }) => architecture === undefined || platform.architecture === architecture)
  return [...new Set([manifest.digest, ...wanted.flatMap((one) => [one.manifest.digest, ...one.blobs.map(({ digest }) => digest)])])].sort()
}

/** Everything that a client can get of one image: all of it by skopeo, one platform by ctr. */
async function pull(
  t: TestContext,
  site: { mirror: string; directory: string; env: NodeJS.ProcessEnv; hosts: string },
  i: number,
  whole: Index,
) {
  const { mirror, directory, env, hosts } = site
  const [name = ''] = nameOf(i).split(':')
  assert.deepEqual(await skopeoCopy(`${mirror}/${nameOf(i)}`, { env, directory, all: true }), digestsOf(whole), `${name} by skopeo`)
  if (i % 3 !== 0) return
  const containerd = await startContainerd(t)
  await containerd.fetch(nameOf(i), hosts, env, 'linux/arm64')
  assert.deepEqual(await containerd.content(), digestsOf(whole, 'arm64'), `${name} by ctr`)
}

test('A disk is loaded at one site, mended by a second run, carried, served without a network, pruned, and served on', {
  skip,
}, async (t) => {
  const registry = await startFakeRegistry(t)
  const images = addImages(registry)
  const broken = images[5]?.images[1]?.blobs[2]?.digest ?? ''
  const a = await install(t, [{ name: 'quay.io', url: registry.origin }])
  const list = join(a.imagePath, '..', 'images.txt')
  await writeFile(list, images.map((_, i) => `${nameOf(i)}\n`).join(''))
  const load = ['load', '--config-file', join(a.imagePath, '..', 'config.yaml'), '--log-level', 'error', '--image-file', list]
  const platforms = ['--platform', 'linux/amd64', '--platform', 'linux/arm64']

  const fault = registry.fault({ match: { digest: broken }, do: [status(403)] })
  const first = await run(process.execPath, [a.program, ...load, ...platforms])
  assert.equal(first.code, 1, first.stderr)
  assert.match(first.stdout, /^quay\.io\/site\/app-5:1 +failed /m)
  assert.equal(first.stdout.match(/^quay\.io\/\S+ +loaded /gm)?.length, IMAGES - 1)
  fault.remove()
  const second = await run(process.execPath, [a.program, ...load, ...platforms])
  assert.equal(second.code, 0, second.stdout + second.stderr)
  assert.equal(second.stdout.match(/^quay\.io\/\S+ +complete /gm)?.length, IMAGES - 1)

  const b = await install(t, [], { airGapped: 'true' })
  await cp(a.imagePath, b.imagePath, { recursive: true, preserveTimestamps: true })
  await registry.stop()
  const [directory, outside] = [await testDirectory(t), await openConnectLog(t)]
  const site = { mirror: b.mirror, directory, env: outside.env, hosts: await writeHosts(directory, '_default', b.mirror) }
  const server = await b.start()
  for (const [i, whole] of images.entries()) await pull(t, site, i, whole)
  await server.stop()

  const cli = (...args: string[]) => run(process.execPath, [b.program, ...args, '--image-path', b.imagePath])
  const pattern = `app-[0-${PRUNED - 1}]:`
  const dry = await cli('prune', '--pattern', pattern, '--dry-run')
  assert.match(dry.stdout, new RegExp(`would remove ${PRUNED * 3} references, ${PRUNED * 3} manifests and `))
  const pruned = await cli('prune', '--pattern', pattern, '--yes')
  assert.equal(pruned.code, 0, pruned.stderr)
  assert.equal(
    (await cli('list', '--format', 'url', '--pattern', ':1$')).stdout,
    images
      .map((_, i) => `${nameOf(i)}\n`)
      .slice(PRUNED)
      .sort()
      .join(''),
  )
  const verified = await cli('verify')
  assert.equal(verified.code, 0, verified.stdout)

  await b.start()
  for (const [i, whole] of images.entries()) if (i >= PRUNED) await pull(t, site, i, whole)
  await assert.rejects(skopeoCopy(`${b.mirror}/${nameOf(0)}`, { env: outside.env, directory, all: true }), /manifest unknown/)
  assert.deepEqual(outside.attempts, [])
})
