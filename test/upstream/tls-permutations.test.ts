/** Every way in which an entry may have TLS: one-way or mutual, unverified, verified by the system's store or by a CA of its own; and what each of them refuses. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { RegistryTls } from '../../src/config/config.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import { type Authority, type Certificate, EXPIRED, makeAuthority, NOT_YET_VALID } from '../support/certificates.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { status } from '../support/fake-registry-faults.ts'
import { entryOf, makeUpstreams, REPOSITORY, TAG, type TestUpstreams } from './support.ts'

const NAMES = ['127.0.0.1', 'localhost']

/** Made once: each certificate costs two processes. */
class Pki {
  readonly #directory: string
  readonly authority: Authority
  readonly foreign: Authority
  readonly #certificates: Readonly<Record<ServerCertificate | ClientCertificate, Certificate>>

  private constructor(
    directory: string,
    authority: Authority,
    foreign: Authority,
    certificates: Record<ServerCertificate | ClientCertificate, Certificate>,
  ) {
    this.#directory = directory
    this.authority = authority
    this.foreign = foreign
    this.#certificates = certificates
  }

  static async make(): Promise<Pki> {
    const directory = await mkdtemp(join(tmpdir(), 'ociregistry-test-'))
    const [authority, foreign] = [await makeAuthority(directory, 'own'), await makeAuthority(directory, 'foreign')]
    await mkdir(join(directory, 'certs'))
    await writeFile(join(directory, 'certs', 'own.pem'), authority.cert)
    return new Pki(directory, authority, foreign, {
      good: await authority.issue(...NAMES),
      'of an unknown authority': await foreign.issue(...NAMES),
      'for another name': await authority.issue('elsewhere.example'),
      'that has expired': await authority.issueFor(EXPIRED, ...NAMES),
      'that is not valid yet': await authority.issueFor(NOT_YET_VALID, ...NAMES),
      client: await authority.issue('client'),
      'client of an unknown authority': await foreign.issue('client'),
      'client that has expired': await authority.issueFor(EXPIRED, 'client'),
    })
  }

  get certsDirectory(): string {
    return join(this.#directory, 'certs')
  }

  of(which: ServerCertificate | ClientCertificate): Certificate {
    return this.#certificates[which]
  }

  remove(): Promise<void> {
    return rm(this.#directory, { recursive: true, force: true })
  }
}

type ServerCertificate = 'good' | 'of an unknown authority' | 'for another name' | 'that has expired' | 'that is not valid yet'
type ClientCertificate = 'client' | 'client of an unknown authority' | 'client that has expired'

let pki: Pki
before(async () => {
  pki = await Pki.make()
})
after(() => pki.remove())

type Trusting = { readonly tls: Partial<RegistryTls>; readonly env: Record<string, string> }

const trusting: Readonly<Record<string, () => Trusting>> = {
  'insecureSkipVerify: true': () => ({ tls: { insecureSkipVerify: true }, env: {} }),
  "the system's store, by SSL_CERT_FILE": () => ({ tls: {}, env: { SSL_CERT_FILE: pki.authority.certPath } }),
  "the system's store, by SSL_CERT_DIR": () => ({ tls: { insecureSkipVerify: false }, env: { SSL_CERT_DIR: pki.certsDirectory } }),
  'a ca of its own': () => ({
    tls: { ca: pki.authority.certPath, insecureSkipVerify: false },
    env: { SSL_CERT_FILE: pki.foreign.certPath },
  }),
}

const refusals: Readonly<Record<Exclude<ServerCertificate, 'good'>, RegExp>> = {
  'of an unknown authority': /unable to verify the first certificate/,
  'for another name':
    /certificate's altnames.*; give its entry a url with a name that is in its certificate; or add tls: \{insecureSkipVerify: true\} to its entry/,
  'that has expired':
    /certificate has expired; it has to be renewed there; until then, add tls: \{insecureSkipVerify: true\} to its entry in registries$/,
  'that is not valid yet':
    /certificate is not yet valid; look at the clock of this machine; add tls: \{insecureSkipVerify: true\} to its entry/,
}

function shown(client: ClientCertificate | undefined): Pick<RegistryTls, 'cert' | 'key'> {
  return client === undefined ? {} : { cert: pki.of(client).certPath, key: pki.of(client).keyPath }
}

type Setting = {
  readonly server: ServerCertificate
  readonly mutual: boolean
  readonly client: ClientCertificate | undefined
  readonly trust: Trusting
}

async function pull(
  t: TestContext,
  { server, mutual, client, trust }: Setting,
): Promise<TestUpstreams & { registry: FakeRegistry; pulled: Promise<unknown> }> {
  const { cert, key } = pki.of(server)
  const registry = await startFakeRegistry(t, { tls: { cert, key, ...(mutual ? { clientCa: pki.authority.cert } : {}) } })
  registry.addImage('team/app', 'v1')
  const config = entryOf(registry, { tls: { ...trust.tls, ...shown(client) } })
  const made = makeUpstreams(t, { registries: [config], env: trust.env })
  return { ...made, registry, pulled: made.upstreams.of(config.name).getManifest(REPOSITORY, TAG) }
}

type Failure = { readonly kind?: string; readonly message: string }

for (const [how, trust] of Object.entries(trusting)) {
  for (const mutual of [false, true]) {
    const title = `${mutual ? 'mutual' : 'one-way'} TLS, ${how}`
    const client = mutual ? 'client' : undefined

    test(`${title}: the registry is pulled from`, async (t) => {
      const { registry, pulled } = await pull(t, { server: 'good', mutual, client, trust: trust() })
      await pulled
      assert.equal(registry.count({ kind: 'manifest' }), 1)
    })

    for (const [server, message] of Object.entries(refusals)) {
      const passes = how.startsWith('insecure')
      test(`${title}: a server certificate ${server} is ${passes ? 'not looked at' : 'refused'}`, async (t) => {
        const { registry, pulled, log } = await pull(t, { server: server as ServerCertificate, mutual, client, trust: trust() })
        if (passes) return void (await pulled)
        await assert.rejects(pulled, (error: Failure) => {
          assert.equal(error.kind, 'tls')
          assert.match(error.message, message)
          assert.doesNotMatch(error.message, /\n|configure registries/)
          return true
        })
        assert.equal(registry.count(), 0)
        assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 1, 'the log says it once')
      })
    }
  }

  const refusedClients: [title: string, client: ClientCertificate | undefined, says: () => RegExp][] = [
    ['none', undefined, () => /^cannot get manifest team\/app:v1 from 127\.0\.0\.1:\d+: https:\/\/127/],
    [
      'one of another authority',
      'client of an unknown authority',
      () => /^cannot get manifest team\/app:v1 from 127\.0\.0\.1:\d+: https:\/\/127/,
    ],
    [
      'one that has expired',
      'client that has expired',
      () =>
        new RegExp(
          `the client certificate ${pki.of('client that has expired').certPath} \\(tls\\.cert of its entry\\) expired on ${EXPIRED.to.toISOString().slice(0, 10)}\\S+: put a new one in its place$`,
        ),
    ],
  ]
  for (const [title, client, says] of refusedClients) {
    test(`mutual TLS, ${how}: a registry that is shown ${title} as client certificate refuses`, async (t) => {
      const { registry, pulled } = await pull(t, { server: 'good', mutual: true, client, trust: trust() })
      await assert.rejects(pulled, (error: Failure) => {
        assert.ok(error.kind === 'tls' || error.kind === 'unreachable', error.kind)
        assert.match(error.message, says())
        return true
      })
      assert.equal(registry.count(), 0)
    })
  }
}

test("an unknown authority: the advice is a ca where the entry has none, and the entry's own file where it has one", async (t) => {
  const setting = { server: 'of an unknown authority', mutual: false, client: undefined } as const
  const none = await pull(t, { ...setting, trust: { tls: {}, env: {} } })
  await assert.rejects(none.pulled, { message: /; add tls: \{ca: \/path\/to\/its\/ca\.pem\} to its entry in registries$/ })
  const { certPath } = pki.authority
  const one = await pull(t, { ...setting, trust: { tls: { ca: certPath }, env: {} } })
  await assert.rejects(one.pulled, {
    message: new RegExp(`; the authority behind it is not in ${certPath} \\(tls\\.ca of its entry\\): add it there$`),
  })
})

test('an authority of the entry that has expired is named', async (t) => {
  const directory = pki.certsDirectory
  const old = await makeAuthority(directory, 'old', EXPIRED)
  const leaf = await old.issue(...NAMES)
  const registry = await startFakeRegistry(t, { tls: leaf })
  const config = entryOf(registry, { tls: { ca: old.certPath } })
  const pulled = makeUpstreams(t, { registries: [config], env: {} })
    .upstreams.of(config.name)
    .getManifest(REPOSITORY, TAG)
  const message = new RegExp(
    `certificate has expired; ${old.certPath} \\(tls\\.ca of its entry\\) expired on \\S+: put a new one in its place$`,
  )
  await assert.rejects(pulled, { kind: 'tls', message })
})

test('a server that refuses an expired client certificate with a status: the answer names the file', async (t) => {
  const client = pki.of('client that has expired')
  const registry = await startFakeRegistry(t, { tls: pki.of('good') })
  registry.fault({ match: {}, do: [status(400)] })
  registry.addImage('team/app', 'v1')
  const config = entryOf(registry, { tls: { ca: pki.authority.certPath, cert: client.certPath, key: client.keyPath } })
  const pulled = makeUpstreams(t, { registries: [config], env: {} })
    .upstreams.of(config.name)
    .getManifest(REPOSITORY, TAG)
  await assert.rejects(pulled, {
    message: new RegExp(
      `answered 400 \\(fault 400\\); the client certificate ${client.certPath} \\(tls\\.cert of its entry\\) expired on `,
    ),
  })
})

/** A server that says by an alert what it thinks of the client, as most do and Node's own does not. */
async function startAlertingServer(t: TestContext): Promise<string> {
  const { certPath, keyPath } = pki.of('good')
  const server = spawn('openssl', [
    ...['s_server', '-accept', '127.0.0.1:0', '-cert', certPath, '-key', keyPath, '-www'],
    ...['-Verify', '1', '-verify_return_error', '-CAfile', pki.authority.certPath],
  ])
  t.after(() => server.kill())
  let said = ''
  for await (const chunk of server.stdout) {
    said += chunk
    const [, address] = /ACCEPT (127\.0\.0\.1:\d+)/.exec(said) ?? []
    if (address !== undefined) return address
  }
  return assert.fail(`openssl s_server ended: ${said}`)
}

const alerts: [client: ClientCertificate | undefined, says: () => string][] = [
  [
    undefined,
    () => 'it wants a client certificate: add tls: {cert: /path/to/client.crt, key: /path/to/client.key} to its entry in registries',
  ],
  [
    'client of an unknown authority',
    () => `it does not accept the client certificate ${pki.of('client of an unknown authority').certPath} (tls.cert of its entry)`,
  ],
  [
    'client that has expired',
    () => `the client certificate ${pki.of('client that has expired').certPath} (tls.cert of its entry) expired on `,
  ],
]
for (const [client, says] of alerts) {
  test(`a server that refuses by an alert (${client ?? 'no client certificate'}): the error and the log name what to do`, async (t) => {
    const name = parseRegistry(await startAlertingServer(t))
    const tls = { ca: pki.authority.certPath, insecureSkipVerify: false, ...shown(client) }
    const { upstreams, log } = makeUpstreams(t, { registries: [{ name, aliases: [], scheme: 'https', address: name, tls }], env: {} })
    await assert.rejects(upstreams.of(name).getManifest(REPOSITORY, TAG), (error: Failure) => {
      assert.equal(error.kind, 'tls', error.message)
      assert.ok(error.message.includes(`; ${says()}`), error.message)
      return true
    })
    assert.ok(log.lines.some(({ level, message }) => level === 'warn' && message.includes(says())))
  })
}
