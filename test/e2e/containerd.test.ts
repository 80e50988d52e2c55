/** containerd pulls through the server with every form of hosts.toml; every pull again with the upstream stopped. */
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { partOf } from './support/cleanup.ts'
import { containerdRefused, type HostsForm, startContainerd, writeHosts } from './support/containerd.ts'
import { lacks } from './support/requirements.ts'
import { digestsOf, type RegistryName, type SeedName } from './support/seeds.ts'
import { openStage, type Stage } from './support/stage.ts'

const skip = lacks('containerd', 'ctr', 'docker-registry', 'setpriv') || (await containerdRefused())

type Pull = { readonly registry: RegistryName; readonly image: SeedName; readonly platform?: string }

const fromHub: Pull[] = [
  { registry: 'docker.io', image: 'index', platform: 'linux/amd64' },
  { registry: 'docker.io', image: 'dockerList' },
  { registry: 'docker.io', image: 'dockerImage' },
  { registry: 'docker.io', image: 'fiveSegments' },
]

/** Forms whose hosts.toml stands for every registry. (containerd 1.6 itself refuses the image with a blob of no bytes.) */
const fromAnywhere: Pull[] = [
  ...fromHub,
  { registry: 'quay.io', image: 'ociImage' },
  { registry: 'quay.io', image: 'largeManifest' },
  { registry: 'quay.io', image: 'zstdLayer' },
  { registry: 'quay.io', image: 'index' },
  { registry: 'registry.example:5000', image: 'fiveSegments' },
  { registry: 'docker.io', image: 'largeLayer' },
]

const forms: [HostsForm, Pull[]][] = [
  ['_default', fromAnywhere],
  ['skip_verify on http', fromAnywhere.slice(0, 5)],
  ['override_path', fromHub],
  ['path prefix', fromHub],
]

/** A containerd that has nothing yet fetches one image, so that each byte comes through the server. */
async function check(t: TestContext, stage: Stage, hosts: string, { registry, image, platform }: Pull): Promise<void> {
  const containerd = await startContainerd(t)
  const seeded = stage.image(registry, image)
  await containerd.fetch(`${registry}/${seeded.repository}:${seeded.tag}`, hosts, stage.outside.env, platform)
  assert.deepEqual(await containerd.content(), digestsOf(seeded, platform?.split('/')[1]))
  assert.deepEqual(stage.outside.attempts, [], 'containerd went around the mirror')
}

async function pulls(t: TestContext, stage: Stage, form: HostsForm, table: Pull[], when: string): Promise<void> {
  const hosts = await writeHosts(stage.directory, form, stage.mirror)
  for (const pull of table) {
    const body = partOf(t, (t) => check(t, stage, hosts, pull))
    await t.test(`${pull.image} of ${pull.registry}, ${when}`, body)
  }
}

for (const [form, table] of forms) {
  test(`ctr fetches through the mirror of its hosts.toml: ${form}`, { skip }, async (t) => {
    const stage = await openStage(t)
    await pulls(t, stage, form, table, 'from the upstream')
    await stage.stopUpstreams()
    await pulls(t, stage, form, table, 'with the upstream stopped')
  })
}
