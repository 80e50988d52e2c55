/** The README's first example: a server with one built-in image, and a client that runs it. */
import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { platformOfNode } from '../../src/oci/platform.ts'
import { writeEmptyRegistriesConf, writePolicy } from './support/c-image.ts'
import { openConnectLog } from './support/connect-log.ts'
import { ask } from './support/http-client.ts'
import { pullerRefused } from './support/podman.ts'
import { until } from './support/poll.ts'
import { freePort } from './support/ports.ts'
import { type Running, run, start } from './support/processes.ts'
import { readmeExample } from './support/readme.ts'
import { lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'
import { installProgram } from './support/server.ts'
import { skopeoCopy } from './support/skopeo.ts'

const GREETING = /^Hello from ociregistry!$/m

type HelloWorld = {
  /** `127.0.0.1:<port>` */
  readonly mirror: string
  /** Where it may put temporary files; nobody else does. */
  readonly temporary: string
  /** Where it was started. */
  readonly home: string
  start(): Promise<Running>
}

async function installHelloWorld(t: TestContext): Promise<HelloWorld> {
  const program = await installProgram(t)
  const [temporary, home, port] = [await testDirectory(t), await testDirectory(t), await freePort()]
  const args = [program, 'serve', '--hello-world', '--port', String(port), '--image-path', './images']
  return {
    mirror: `127.0.0.1:${port}`,
    temporary,
    home,
    async start() {
      const server = start(t, 'ociregistry', process.execPath, args, { cwd: home, env: { PATH: process.env.PATH, TMPDIR: temporary } })
      await until('the server answers', async () => {
        if (server.exit() !== undefined) throw new Error(`the server ended: ${server.output()}`)
        return (await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined))?.ok
      })
      return server
    },
  }
}

/** The environment in which podman, as root, keeps to `directory`, and asks for no more than a container within a container may have. crun runs nothing where control groups are of both versions. */
async function podmanEnvironment(directory: string): Promise<NodeJS.ProcessEnv> {
  const config = join(directory, '.config/containers')
  await mkdir(config, { recursive: true })
  await writePolicy(config)
  const engine = `[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "none"\ntmp_dir = "${join(directory, 'tmp')}"\n`
  const container = '[containers]\nnetns = "none"\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
  const storage = `[storage]\ndriver = "vfs"\ngraphroot = "${join(directory, 'root')}"\nrunroot = "${join(directory, 'run')}"\n`
  await writeFile(join(config, 'containers.conf'), container + engine)
  await writeFile(join(config, 'storage.conf'), storage)
  return {
    HOME: directory,
    TMPDIR: directory,
    CONTAINERS_CONF: join(config, 'containers.conf'),
    CONTAINERS_STORAGE_CONF: join(config, 'storage.conf'),
    CONTAINERS_REGISTRIES_CONF: await writeEmptyRegistriesConf(directory),
  }
}

const podmanRefused = lacks('podman') || lacks('runc') || (await pullerRefused('podman'))

test('podman runs the built-in image, as the README says', { skip: podmanRefused }, async (t) => {
  const { mirror, start } = await installHelloWorld(t)
  await start()
  const [directory, outside] = [await testDirectory(t), await openConnectLog(t)]
  const command = await readmeExample('sh', /^podman run /, mirror)
  const env = { ...outside.env, ...(await podmanEnvironment(directory)) }
  const { code, stdout, stderr } = await run('/bin/sh', ['-c', command], { cwd: directory, env })
  assert.match(stderr, /^Storing signatures$|^Writing manifest/m)
  if (/not permitted|permission denied|cannot set up namespace/i.test(stderr))
    return t.skip(`privilege: podman may not run containers: ${stderr}`)
  assert.equal(code, 0, stderr)
  assert.match(stdout, GREETING)
  assert.deepEqual(outside.attempts, [])
})

test('skopeo copies the built-in image with all its platforms', { skip: lacks('skopeo') }, async (t) => {
  const { mirror, start } = await installHelloWorld(t)
  await start()
  const [directory, outside] = [await testDirectory(t), await openConnectLog(t)]
  const digests = await skopeoCopy(`${mirror}/docker.io/hello-world:latest`, { env: outside.env, directory, all: true })
  assert.equal(digests.length, 1 + 2 + 4, digests.join(' '))
  assert.deepEqual(outside.attempts, [])
})

const own = platformOfNode(process.platform, process.arch)
const foreign = own.os !== 'linux' || !['amd64', 'arm64'].includes(own.architecture)

test('the file in the layer of the built-in image prints its greeting', {
  skip: foreign && 'privilege: this machine runs no programs for linux on amd64 or arm64',
}, async (t) => {
  const { mirror, start } = await installHelloWorld(t)
  await start()
  const get = async (path: string) => (await ask(`http://${mirror}/v2/hello-world/${path}`)).bytes
  const { manifests } = JSON.parse((await get('manifests/latest')).toString())
  const { digest } = manifests.find(({ platform }: { platform: { architecture: string } }) => platform.architecture === own.architecture)
  const { layers } = JSON.parse((await get(`manifests/${digest}`)).toString())
  const directory = await testDirectory(t)
  await writeFile(join(directory, 'layer.tar'), await get(`blobs/${layers[0].digest}`))
  const unpacked = await run('tar', ['-xf', 'layer.tar'], { cwd: directory })
  assert.equal(unpacked.code, 0, unpacked.stderr)
  const { code, stdout, stderr } = await run(join(directory, 'hello'), [])
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(stdout, GREETING)
})

test('a server of the built-in image leaves nothing behind, and clears away what a killed one left', async (t) => {
  const { temporary, home, start } = await installHelloWorld(t)
  const killed = await start()
  const banner = /^Serving: docker\.io\/library\/hello-world:latest, .*nothing else/m
  await until('it says what it serves', () => banner.test(killed.stderr()))
  await killed.stop('SIGKILL')
  assert.equal((await readdir(temporary)).length, 1)
  const stopped = await start()
  const [directory, ...others] = await readdir(temporary)
  assert.ok(directory?.startsWith('ociregistry-hello-world-'))
  assert.deepEqual(others, [])
  assert.deepEqual(await stopped.stop(), { code: 0, signal: null })
  assert.deepEqual([await readdir(temporary), await readdir(home)], [[], []])
})
