/** skopeo pulls through the server from upstreams that speak TLS with a certificate of a private authority. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { type Authority, makeAuthority } from '../support/certificates.ts'
import { until } from './support/poll.ts'
import { imageDigestsOf, type Pull, pullTwice, referenceOf } from './support/pulls.ts'
import { lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'
import { skopeoCopy } from './support/skopeo.ts'
import { openStage, type UpstreamTls } from './support/stage.ts'

const skip = lacks('skopeo', 'docker-registry', 'openssl')

const table: Pull[] = [
  { registry: 'docker.io', image: 'index' },
  { registry: 'docker.io', image: 'fewMegabytes' },
  { registry: 'quay.io', image: 'dockerImage' },
  { registry: 'quay.io', image: 'emptyBlob' },
]

async function makePrivateAuthority(t: TestContext, name: string): Promise<Authority> {
  return makeAuthority(await testDirectory(t), name)
}

test('skopeo pulls from an upstream whose authority is configured with tls.ca', { skip }, async (t) => {
  const authority = await makePrivateAuthority(t, 'Private CA')
  const stage = await openStage(t, { certificate: await authority.issue('127.0.0.1'), caPath: authority.certPath })
  const { mirror, outside, directory } = stage
  await pullTwice(t, stage, table, async (_t, one) => {
    const digests = await skopeoCopy(`${mirror}/${referenceOf(stage, one)}`, { env: outside.env, directory })
    assert.deepEqual(digests, imageDigestsOf(stage, one))
  })
})

for (const [what, trusts] of [
  ['no authority is configured for', async () => undefined],
  ['another authority is configured for', async (t) => (await makePrivateAuthority(t, 'Another CA')).certPath],
] as const satisfies [string, (t: TestContext) => Promise<string | undefined>][]) {
  test(`nothing is served from an upstream that ${what}, and the log says why`, { skip }, async (t) => {
    const certificate = await (await makePrivateAuthority(t, 'Private CA')).issue('127.0.0.1')
    const caPath = await trusts(t)
    const tls: UpstreamTls = { certificate, ...(caPath && { caPath }) }
    const { server, mirror, outside, directory, imagePath, ...stage } = await openStage(t, tls)
    const reference = `docker.io/library/alpine:${stage.image('docker.io', 'ociImage').tag}`
    const copying = skopeoCopy(`${mirror}/${reference}`, { env: outside.env, directory })
    await assert.rejects(copying, /502|unavailable/i)
    for (const kind of ['blobs', 'img', 'fat', 'refs']) assert.deepEqual(await readdir(join(imagePath, kind)), [], kind)
    const advice =
      caPath === undefined ? /add tls: \{ca: \S+\} to its entry in registries/ : /is not in \S+ \(tls\.ca of its entry\): add it there/
    const line = new RegExp(`cannot pull from docker\\.io: .*; .*${advice.source}`)
    await until('the log says why', () => line.test(server.output())) // lines of 10 ms are one write
  })
}
