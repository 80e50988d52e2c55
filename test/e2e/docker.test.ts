/** Docker pulls through the server as its registry mirror; every pull again with the upstream stopped. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { dockerdRefused, startDockerd } from './support/dockerd.ts'
import { type Pull, pullTwice } from './support/pulls.ts'
import { readmeExample } from './support/readme.ts'
import { lacks } from './support/requirements.ts'
import type { SeededImage } from './support/seeds.ts'
import { openStage } from './support/stage.ts'

const skip = lacks('dockerd', 'containerd', 'docker-registry', 'unshare') || (await dockerdRefused())

/** Docker uses mirrors for Docker Hub only. (Docker 20.10 does not know zstd.) */
const table: Pull[] = [
  { registry: 'docker.io', image: 'index' },
  { registry: 'docker.io', image: 'dockerList' },
  { registry: 'docker.io', image: 'dockerImage' },
  { registry: 'docker.io', image: 'ociImage' },
  { registry: 'docker.io', image: 'largeManifest' },
  { registry: 'docker.io', image: 'fewMegabytes' },
  { registry: 'docker.io', image: 'fiveSegments' },
]

/** Docker keeps the digest that the tag stands for, and of an index nothing else but one image without its manifest. */
function keptOf({ manifest, images }: SeededImage): string[] {
  const blobs = images.find(({ architecture }) => architecture === 'amd64')?.blobs ?? []
  return [manifest, ...blobs].map(({ digest }) => digest).sort()
}

/** How people write the name of a repository on Docker Hub. */
const nameOf = (repository: string) => repository.replace(/^library\//, '')

test('docker pulls every image of Docker Hub through the mirror of its daemon.json', { skip }, async (t) => {
  const stage = await openStage(t)
  const daemonJson = await readmeExample('json', /"registry-mirrors"/, stage.mirror)
  await pullTwice(t, stage, table, async (t, { registry, image }) => {
    const seeded = stage.image(registry, image)
    const [name, { tag }] = [nameOf(seeded.repository), seeded]
    const dockerd = await startDockerd(t, daemonJson, stage.outside.env) // one that has nothing yet, so that each byte comes through the server
    await dockerd.pull(name, tag)
    assert.deepEqual(await dockerd.digests(`${name}:${tag}`), keptOf(seeded))
  })
})

test('docker goes to Docker Hub itself for what the mirror does not have', { skip }, async (t) => {
  const stage = await openStage(t)
  const daemonJson = await readmeExample('json', /"registry-mirrors"/, stage.mirror)
  const dockerd = await startDockerd(t, daemonJson, stage.outside.env)
  await assert.rejects(dockerd.pull('alpine', 'unheard-of'))
  assert.match(stage.outside.attempts.join('\n'), /^CONNECT registry-1\.docker\.io:443$/m)
})
