/** containerd pulls through the server with every form of hosts.toml; every pull again with the upstream stopped. */
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { containerdRefused, type HostsForm, startContainerd, writeHosts } from './support/containerd.ts'
import { type Pull, pullTwice, referenceOf } from './support/pulls.ts'
import { lacks } from './support/requirements.ts'
import { digestsOf } from './support/seeds.ts'
import { openStage, type Stage } from './support/stage.ts'

const skip = lacks('containerd', 'ctr', 'docker-registry', 'setpriv') || (await containerdRefused())

type ContainerdPull = Pull & { readonly platform?: string }

const fromHub: ContainerdPull[] = [
  { registry: 'docker.io', image: 'index', platform: 'linux/amd64' },
  { registry: 'docker.io', image: 'dockerList' },
  { registry: 'docker.io', image: 'dockerImage' },
  { registry: 'docker.io', image: 'fiveSegments' },
]

/** Forms whose hosts.toml stands for every registry. (containerd 1.6 itself refuses the image with a blob of no bytes.) */
const fromAnywhere: ContainerdPull[] = [
  ...fromHub,
  { registry: 'quay.io', image: 'ociImage' },
  { registry: 'quay.io', image: 'largeManifest' },
  { registry: 'quay.io', image: 'zstdLayer' },
  { registry: 'quay.io', image: 'index' },
  { registry: 'registry.example:5000', image: 'fiveSegments' },
  { registry: 'docker.io', image: 'largeLayer' },
]

const forms: [HostsForm, ContainerdPull[]][] = [
  ['_default', fromAnywhere],
  ['skip_verify on http', fromAnywhere.slice(0, 5)],
  ['override_path', fromHub],
  ['path prefix', fromHub],
]

/** A containerd that has nothing yet fetches one image, so that each byte comes through the server. */
async function check(t: TestContext, stage: Stage, hosts: string, pull: ContainerdPull): Promise<void> {
  const containerd = await startContainerd(t)
  await containerd.fetch(referenceOf(stage, pull), hosts, stage.outside.env, pull.platform)
  assert.deepEqual(await containerd.content(), digestsOf(stage.image(pull.registry, pull.image), pull.platform?.split('/')[1]))
}

for (const [form, table] of forms) {
  test(`ctr fetches through the mirror of its hosts.toml: ${form}`, { skip }, async (t) => {
    const stage = await openStage(t)
    const hosts = await writeHosts(stage.directory, form, stage.mirror)
    await pullTwice(t, stage, table, (t, pull) => check(t, stage, hosts, pull))
  })
}
