/** Somebody comes from 1.8.3: the store and the configuration file as they are, the built file, a client, and no network. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { root } from '../../scripts/root.mjs'
import { type OldManifest, snapshot, writeOldStore } from '../support/old-store.ts'
import { openConnectLog } from './support/connect-log.ts'
import { ask } from './support/http-client.ts'
import { docker, oci } from './support/image.ts'
import { until } from './support/poll.ts'
import { freePort } from './support/ports.ts'
import { type Running, start } from './support/processes.ts'
import { lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'
import { installProgram } from './support/server.ts'
import { skopeoCopy } from './support/skopeo.ts'

type Json = {
  readonly manifests?: readonly { readonly digest: string }[]
  readonly config: { readonly digest: string }
  readonly layers: readonly { readonly digest: string }[]
}

/** What a pull of all platforms must bring: the manifest, what it lists, and what that lists; each once, sorted. */
function digestsBelow(manifest: OldManifest, manifests: readonly OldManifest[]): string[] {
  const json: Json = JSON.parse(manifest.bytes.toString())
  if (json.manifests === undefined) return unique([manifest.digest, json.config.digest, ...json.layers.map(({ digest }) => digest)])
  const images = json.manifests.map(({ digest }) => manifests.find((one) => one.digest === digest) as OldManifest)
  return unique([manifest.digest, ...images.flatMap((one) => digestsBelow(one, manifests))])
}

const unique = (digests: readonly string[]) => [...new Set(digests)].sort()

test('a store and a configuration of 1.8.3 serve every image to skopeo without a network, twice', { skip: lacks('skopeo') }, async (t) => {
  const [program, directory] = [await installProgram(t), await testDirectory(t)]
  const imagePath = join(directory, 'images')
  const { manifests, blobs } = await writeOldStore(imagePath, '1.8')
  const before = await snapshot(imagePath)
  const configFile = join(directory, 'config.yaml')
  const config = await readFile(join(root, 'test/config/fixtures/full-1.8.3.yaml'), 'utf8')
  await writeFile(configFile, config.replace('imagePath: /var/lib/ociregistry', `imagePath: ${imagePath}`))
  const [port, outside] = [await freePort(), await openConnectLog(t)]
  const args = [program, '--config-file', configFile, 'serve', '--port', String(port), '--air-gapped']
  const launch = async (): Promise<Running> => {
    const server = start(t, 'ociregistry', process.execPath, args, { cwd: directory, env: { ...outside.env, HOME: directory } })
    await until('the server answers', async () => {
      if (server.exit() !== undefined) throw new Error(`the server ended: ${server.output()}`)
      return (await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined))?.ok
    })
    return server
  }
  for (const round of ['first', 'second']) {
    const server = await launch()
    for (const manifest of manifests) {
      const { imageUrl, digest, mediaType } = manifest
      const [, registry, repository, reference] = /^([^/]+)\/([^:@]+)[:@](.+)$/.exec(imageUrl) ?? []
      const answer = await ask(`http://127.0.0.1:${port}/v2/${repository}/manifests/${reference}?ns=${registry}`)
      assert.deepEqual([answer.status, answer.headers['docker-content-digest']], [200, digest], `${imageUrl}, ${round} time`)
      if (registry?.includes(':')) continue // a name on the command line of skopeo cannot have another registry's port in its path
      const all = mediaType === oci.index || mediaType === docker.index
      const copied = await skopeoCopy(`127.0.0.1:${port}/${imageUrl}`, { env: outside.env, directory, all })
      assert.deepEqual(copied, digestsBelow(manifest, manifests), `${imageUrl}, ${round} time`)
    }
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    assert.doesNotMatch(server.output(), /Z (?:WARN|ERROR) /)
  }
  assert.deepEqual(outside.attempts, [])
  const after = await snapshot(imagePath)
  for (const [name, { hash, mtimeMs }] of before) assert.deepEqual([after.get(name)?.hash, after.get(name)?.mtimeMs], [hash, mtimeMs], name)
  assert.ok(blobs.size > 10)
})
