/** skopeo pulls by https, with and without a certificate of its own: a TLS of its own, written by others. */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { type Authority, type Certificate, makeAuthority } from '../support/certificates.ts'
import { writePolicy } from './support/c-image.ts'
import { contentOf } from './support/content-check.ts'
import { until } from './support/poll.ts'
import { freePort } from './support/ports.ts'
import { start, succeed } from './support/processes.ts'
import { commandPath, lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'
import { installProgram } from './support/server.ts'

const skip = lacks('skopeo', 'openssl')

type TlsStage = { readonly mirror: string; readonly directory: string; readonly authority: Authority }

/** A server with the built-in image, by https. */
async function openTlsStage(t: TestContext, clientAuth: 'none' | 'verify'): Promise<TlsStage> {
  const [program, directory, port] = [await installProgram(t), await testDirectory(t), await freePort()]
  const authority = await makeAuthority(directory)
  const { certPath: cert, keyPath: key } = await authority.issue('127.0.0.1')
  const configFile = join(directory, 'config.yaml')
  await writeFile(configFile, `serverTlsConfig: {cert: ${cert}, key: ${key}, ca: ${authority.certPath}, clientAuth: ${clientAuth}}\n`)
  const args = [program, 'serve', '--hello-world', '--config-file', configFile, '--host', '127.0.0.1', '--port', String(port)]
  const server = start(t, 'ociregistry', process.execPath, args, { cwd: directory, env: { PATH: process.env.PATH, TMPDIR: directory } })
  await until('the server listens', () => {
    if (server.exit() !== undefined) throw new Error(`the server ended: ${server.output()}`)
    return server.output().includes(`Listening on: https://127.0.0.1:${port}`)
  })
  return { mirror: `127.0.0.1:${port}`, directory, authority }
}

/** Copies the image; certificates are to be verified. Answers with the digests of what came. */
async function copy({ mirror, directory, authority }: TlsStage, client?: Certificate): Promise<string[]> {
  const certificates = await mkdtemp(join(directory, 'certs-'))
  await writeFile(join(certificates, 'ca.crt'), authority.cert)
  if (client !== undefined) {
    await writeFile(join(certificates, 'client.cert'), client.cert)
    await writeFile(join(certificates, 'client.key'), client.key)
  }
  const target = await mkdtemp(join(directory, 'copy-'))
  const image = [
    '--override-os',
    'linux',
    '--override-arch',
    'amd64',
    'copy',
    '--src-cert-dir',
    certificates,
    `docker://${mirror}/hello-world`,
  ]
  const args = ['--policy', await writePolicy(directory), '--tmpdir', directory, ...image, `dir:${target}`]
  await succeed(commandPath('skopeo'), args, { env: { HOME: directory, XDG_RUNTIME_DIR: directory }, cwd: directory })
  return contentOf(target, /^version$/)
}

test('skopeo pulls by https and verifies the certificate of the server', { skip }, async (t) => {
  const stage = await openTlsStage(t, 'none')
  assert((await copy(stage)).length >= 3, 'manifest, config and layer')
  const other = await makeAuthority(await testDirectory(t), 'Other CA')
  await assert.rejects(copy({ ...stage, authority: other }), /x509|certificate/)
})

test('skopeo pulls by https with a certificate of its own, and is refused without one or with one of another authority', {
  skip,
}, async (t) => {
  const stage = await openTlsStage(t, 'verify')
  assert((await copy(stage, await stage.authority.issue('client'))).length >= 3)
  await assert.rejects(copy(stage), /certificate|tls|EOF|reset/i)
  const other = await makeAuthority(await testDirectory(t), 'Other CA')
  await assert.rejects(copy(stage, await other.issue('client')), /certificate|tls|EOF|reset/i)
})
