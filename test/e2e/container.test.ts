/** The container image: what it says of itself, who imports it, and that it runs read-only, as nobody's root, and ends when it is told. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { root } from '../../scripts/root.mjs'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { sha256 } from './support/bytes.ts'
import { writePolicy } from './support/c-image.ts'
import { byChroot, byPodman, type Container, type Way } from './support/container.ts'
import { type ContainerImage, containerImage, filesIn, makeImage } from './support/container-image.ts'
import { containerdRefused, startContainerd } from './support/containerd.ts'
import { fileDigest } from './support/content-check.ts'
import { until } from './support/poll.ts'
import { freePort } from './support/ports.ts'
import { run, succeed } from './support/processes.ts'
import { commandPath, lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'

const image = await containerImage()
const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
const name = `localhost/ociregistry:${version}`

/** A test that needs the image, or is skipped for the reason why there is none. */
function imageTest(title: string, skip: string | false, body: (t: TestContext, image: ContainerImage) => Promise<void>): void {
  if (typeof image === 'string') test(title, { skip: image }, () => {})
  else test(title, { skip }, (t) => body(t, image))
}

imageTest('the same sources give the same image, byte for byte', false, async (t, { archive }) => {
  const output = await testDirectory(t)
  const { code, stderr } = await makeImage(output)
  assert.equal(code, 0, stderr)
  assert.equal(await fileDigest(filesIn(output).archive), await fileDigest(archive))
})

imageTest(
  'containerd imports the image under its name, so that a cluster can start whose mirror it is',
  lacks('containerd', 'ctr', 'setpriv') || (await containerdRefused()),
  async (t, { archive }) => {
    const containerd = await startContainerd(t)
    assert.ok((await containerd.importArchive(archive)).includes(name))
  },
)

/** What a runtime goes by, as Docker writes it. */
const wanted = {
  User: '65532:65532',
  ExposedPorts: { '8080/tcp': {} },
  Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
  Cmd: ['serve'],
  Healthcheck: { Test: ['CMD', '/ociregistry/healthy'], Interval: 30e9, Timeout: 5e9, StartPeriod: 30e9, Retries: 3 },
  Volumes: { '/var/lib/ociregistry': {} },
  WorkingDir: '/',
  Entrypoint: ['/ociregistry/server'],
  StopSignal: 'SIGTERM',
}

/** Of the configuration of an image what `wanted` has. @param source as skopeo names images */
async function configOf(t: TestContext, source: string): Promise<unknown> {
  const policy = await writePolicy(await testDirectory(t))
  const { stdout } = await succeed(commandPath('skopeo'), ['--policy', policy, 'inspect', '--config', '--raw', source])
  const { config } = JSON.parse(stdout)
  return Object.fromEntries(Object.keys(wanted).map((key) => [key, config[key]]))
}

imageTest(
  'the image says who runs it, where its volume and port are, how it is started, ended and checked',
  lacks('skopeo'),
  async (t, { archive }) => {
    assert.deepEqual(await configOf(t, `docker-archive:${archive}`), wanted)
  },
)

imageTest(
  'the Containerfile builds such an image without asking any registry',
  lacks('buildah', 'skopeo'),
  async (t, { layers: [base = ''] }) => {
    const directory = await testDirectory(t)
    const context = join(base, '../..')
    const storage = ['--root', join(directory, 'root'), '--runroot', join(directory, 'run'), '--storage-driver', 'vfs']
    const env = { PATH: process.env.PATH, HOME: directory, TMPDIR: directory, XDG_RUNTIME_DIR: directory }
    const build = [
      'build',
      '--format',
      'docker',
      '--file',
      join(root, 'Containerfile'),
      '--build-arg',
      'FILES=image/*.tar',
      '--tag',
      'built',
      context,
    ]
    const built = await run(commandPath('buildah'), [...storage, ...build], { env, timeoutMs: 120_000 })
    if (/operation not permitted/i.test(built.stderr)) return t.skip(`privilege: buildah cannot build: ${built.stderr}`)
    assert.equal(built.code, 0, built.stderr)
    const archive = join(directory, 'built.tar')
    const policy = await writePolicy(directory)
    await succeed(commandPath('buildah'), [...storage, 'push', '--signature-policy', policy, 'built', `docker-archive:${archive}`], {
      env,
      timeoutMs: 120_000,
    })
    assert.deepEqual(await configOf(t, `docker-archive:${archive}`), wanted)
  },
)

type Running = { readonly container: Container; readonly url: string; readonly port: number; readonly upstream: FakeRegistry }

const token = 'a token of more than sixteen characters'.replaceAll(' ', '-')

/** The image, started as the chart does it, in front of a registry. */
async function runImage(t: TestContext, way: Way, image: ContainerImage): Promise<Running> {
  const upstream = await startFakeRegistry(t)
  const port = await freePort()
  const config = await mkdtemp(join(await testDirectory(t), 'config-'))
  const registries = `registries:\n  - name: docker.io\n    url: ${upstream.origin}\n`
  const admin = 'admin: {tokenFile: /var/ociregistry/config/token}\n'
  await writeFile(join(config, 'registry-config.yaml'), `port: ${port}\nlogLevel: info\n${admin}${registries}`)
  await writeFile(join(config, 'token'), token, { mode: 0o444 })
  await succeed('chmod', ['0755', config])
  const container = await way.start(t, image, config)
  const url = `http://127.0.0.1:${port}`
  await until('the image answers', async () => (await fetch(`${url}/v2/`).catch(() => undefined))?.ok, 60_000)
  return { container, url, port, upstream }
}

/** Where others reach this machine. */
const ownAddress = () =>
  Object.values(networkInterfaces())
    .flatMap((found) => found ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address

for (const [how, way] of [
  ['in namespaces of its own', byChroot],
  ['by podman', byPodman],
] as const) {
  imageTest(
    `the image runs ${how}: read-only, as user 65532 and process 1, pulls, and ends well on SIGTERM`,
    await way.refused(),
    async (t, image) => {
      const { container, url, port, upstream } = await runImage(t, way, image)
      const layer = Buffer.from('layer of an application')
      upstream.content.addImage('library/app', '1', { layers: [layer] })

      const pull = async () => {
        const manifest = await fetch(`${url}/v2/library/app/manifests/1?ns=docker.io`)
        const blob = await fetch(`${url}/v2/library/app/blobs/${sha256(layer)}?ns=docker.io`)
        return [manifest.status, blob.status, await blob.text()]
      }
      assert.deepEqual(await pull(), [200, 200, layer.toString()])
      await upstream.stop()
      assert.deepEqual(await pull(), [200, 200, layer.toString()])

      const pid = await container.pid()
      const status = await readFile(`/proc/${pid}/status`, 'utf8')
      assert.match(status, /^Uid:\t65532\t65532\t65532\t65532$/m)
      assert.match(status, /^NSpid:.*\t1$/m)
      assert.match(await readFile(`/proc/${pid}/mountinfo`, 'utf8'), /^\S+ \S+ \S+ \S+ \/ ro[, ]/m)

      assert.equal((await container.checkHealth(`${url}/v2/`)).code, 0)
      assert.match((await container.checkHealth(`http://127.0.0.1:${await freePort()}/v2/`)).stderr, /ECONNREFUSED/)

      await t.test(
        'whoever comes from another address needs the token of the admin API',
        { skip: ownAddress() === undefined && 'privilege: this machine has no address but loopback' },
        async () => {
          const ask = async (headers = {}) => (await fetch(`http://${ownAddress()}:${port}/cmd/status`, { headers })).status
          assert.deepEqual([await ask(), await ask({ authorization: `Bearer ${token}` })], [401, 200])
        },
      )
      assert.equal(await container.stop(), 0)
    },
  )
}
