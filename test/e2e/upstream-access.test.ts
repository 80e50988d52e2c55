/** What the built file makes of its environment on the way to registries: the system's certificates and proxies. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { type Authority, makeAuthority } from '../support/certificates.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { startFakeProxy } from '../support/proxy.ts'
import { ask } from './support/http-client.ts'
import { until } from './support/poll.ts'
import { freePort } from './support/ports.ts'
import { run, start } from './support/processes.ts'
import { lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'
import { installProgram } from './support/server.ts'

const skip = lacks('openssl')

type Setup = { readonly authority: Authority; readonly registry: FakeRegistry }

async function setUp(t: TestContext, ...names: string[]): Promise<Setup> {
  const authority = await makeAuthority(await testDirectory(t), 'Site CA')
  const registry = await startFakeRegistry(t, { tls: await authority.issue(...names) })
  registry.addImage('team/app', 'v1')
  return { authority, registry }
}

/** Asks a server with this environment for `team/app:v1` of a registry that lives at `address`. */
async function pull(t: TestContext, address: string, env: Record<string, string>): Promise<{ status: number; said: string }> {
  const directory = await testDirectory(t)
  const [configFile, port] = [join(directory, 'config.yaml'), await freePort()]
  await writeFile(configFile, `imagePath: ${join(directory, 'images')}\nregistries: [{name: registry.test, url: "https://${address}"}]\n`)
  const args = [await installProgram(t), 'serve', '--config-file', configFile, '--host', '127.0.0.1', '--port', String(port)]
  const server = start(t, 'ociregistry', process.execPath, args, { cwd: directory, env: { PATH: process.env.PATH, ...env } })
  const url = `http://127.0.0.1:${port}`
  await until('the server answers', async () => {
    if (server.exit() !== undefined) throw new Error(`the server ended: ${server.output()}`)
    return (await fetch(`${url}/v2/`).catch(() => undefined))?.ok
  })
  const { status, bytes } = await ask(`${url}/v2/team/app/manifests/v1?ns=registry.test`)
  return { status, said: String(bytes) }
}

test("a CA in the system's store is believed, by SSL_CERT_FILE as well, and another is not", { skip }, async (t) => {
  const { authority, registry } = await setUp(t, '127.0.0.1')
  assert.equal((await pull(t, registry.host, { SSL_CERT_FILE: authority.certPath })).status, 200)
  const refused = await pull(t, registry.host, {})
  assert.equal(refused.status, 502)
  assert.match(refused.said, /add tls: \{ca: \S+\} to its entry in registries/)
})

test('a registry that only the proxy can reach is pulled from through HTTPS_PROXY, and not where NO_PROXY names it', {
  skip,
}, async (t) => {
  const { authority, registry } = await setUp(t, 'registry.test')
  const proxy = await startFakeProxy(t, { credentials: 'ann:pw' })
  const env = { SSL_CERT_FILE: authority.certPath, https_proxy: proxy.origin.replace('//', '//ann:pw@') }
  const address = `registry.test:${registry.port}`
  assert.equal((await pull(t, address, env)).status, 200)
  assert.deepEqual([...new Set(proxy.targets())], [address])
  const unused = await startFakeProxy(t)
  assert.equal((await pull(t, address, { ...env, https_proxy: unused.origin, no_proxy: '.test' })).status, 502)
  assert.deepEqual(unused.targets(), [])
})

test('a proxy that cannot be one is one line, without its password, and nothing serves', { skip }, async (t) => {
  const directory = await testDirectory(t)
  const args = [await installProgram(t), 'serve', '--image-path', join(directory, 'images'), '--port', String(await freePort())]
  const env = { PATH: process.env.PATH, HTTPS_PROXY: 'http://ann:s3cret@proxy.example:port' }
  const { code, stderr } = await run(process.execPath, args, { cwd: directory, env, timeoutMs: 20_000 })
  assert.equal(code, 1)
  assert.match(stderr, /^error: HTTPS_PROXY in the environment: found what is no URL of a proxy, want [^\n]+\n$/)
  assert.doesNotMatch(stderr, /s3cret/)
})
