/** Certificates and keys that entries name: what stops the start, and what is only warned of. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { type Authority, type Certificate, EXPIRED, makeAuthority, NOT_YET_VALID, VALID } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/files.ts'
import { assertMistake, loadText } from './load-text.ts'

type Files = { readonly directory: string; readonly authority: Authority; readonly client: Certificate; readonly other: Certificate }

async function setUp(t: TestContext): Promise<Files> {
  const directory = await temporaryDirectory(t)
  const authority = await makeAuthority(directory)
  return { directory, authority, client: await authority.issue('client'), other: await authority.issue('other') }
}

/** An entry, its `tls` in lines 4 and following. */
function entryWith(tls: Readonly<Record<string, string>>): string {
  const lines = Object.entries(tls).map(([key, value]) => `    ${key}: ${value}\n`)
  return `registries:\n- name: a.io\n- name: b.io\n  tls:\n${lines.join('')}`
}

async function file({ directory }: Files, name: string, content: string | Buffer): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, content)
  return path
}

async function openssl(...args: string[]): Promise<void> {
  await promisify(execFile)('openssl', args)
}

const CERTIFICATES = 'want a PEM file with certificates'
const PRIVATE_KEY = 'want a PEM file with a private key'

type Mistake = [sentence: string, make: (files: Files) => Promise<{ tls: Record<string, string>; says: string }>]
const mistakes: Mistake[] = [
  [
    'A ca that is no PEM',
    async (files) => {
      const ca = await file(files, 'x', 'hello')
      return { tls: { ca }, says: `5: registries[1].tls.ca: ${ca} holds no certificate in PEM, ${CERTIFICATES}` }
    },
  ],
  [
    'A ca that is empty',
    async (files) => {
      const ca = await file(files, 'x', '')
      return { tls: { ca }, says: `5: registries[1].tls.ca: ${ca} holds no certificate in PEM, ${CERTIFICATES}` }
    },
  ],
  [
    'A ca in DER',
    async (files) => {
      const ca = join(files.directory, 'der')
      await openssl('x509', '-in', files.authority.certPath, '-outform', 'DER', '-out', ca)
      return { tls: { ca }, says: `5: registries[1].tls.ca: ${ca} holds no certificate in PEM, ${CERTIFICATES}` }
    },
  ],
  [
    'A ca that is cut off',
    async (files) => {
      const ca = await file(files, 'x', files.authority.cert.slice(0, 300))
      return { tls: { ca }, says: `5: registries[1].tls.ca: ${ca} holds a certificate that is cut off, ${CERTIFICATES}` }
    },
  ],
  [
    'A key in the place of a certificate',
    async (files) => {
      const tls = { cert: files.client.keyPath, key: files.client.keyPath }
      return { tls, says: `5: registries[1].tls.cert: ${tls.cert} holds no certificate in PEM, ${CERTIFICATES}` }
    },
  ],
  [
    'A certificate in the place of a key',
    async (files) => {
      const tls = { cert: files.client.certPath, key: files.client.certPath }
      return { tls, says: `6: registries[1].tls.key: ${tls.key} holds no private key in PEM, ${PRIVATE_KEY}` }
    },
  ],
  [
    'The key of another certificate',
    async (files) => {
      const tls = { cert: files.client.certPath, key: files.other.keyPath }
      return { tls, says: `6: registries[1].tls.key: ${tls.key} does not belong to the certificate ${tls.cert}, want its key` }
    },
  ],
  ...(['pkcs8', 'ec'] as const).map(
    (form): Mistake => [
      `An encrypted key (${form})`,
      async (files) => {
        const tls = { cert: files.client.certPath, key: join(files.directory, 'encrypted') }
        const encrypt = form === 'pkcs8' ? ['pkcs8', '-topk8'] : ['ec', '-aes256']
        await openssl(...encrypt, '-in', files.client.keyPath, '-passout', 'pass:secret', '-out', tls.key)
        return {
          tls,
          says: `6: registries[1].tls.key: ${tls.key} holds an encrypted key, and nobody is there to type its password, ${PRIVATE_KEY}`,
        }
      },
    ],
  ),
  [
    'A certificate without a key',
    async ({ client }) => ({ tls: { cert: client.certPath }, says: '5: registries[1].tls.cert: found without key, want both or none' }),
  ],
  [
    'A key without a certificate',
    async ({ client }) => ({ tls: { key: client.keyPath }, says: '5: registries[1].tls.key: found without cert, want both or none' }),
  ],
]
for (const [sentence, make] of mistakes) {
  test(`${sentence} stops the start, with file, entry and line`, async (t) => {
    const { tls, says } = await make(await setUp(t))
    await assertMistake(t, entryWith(tls), `config.yaml:${says}`)
  })
}

test('A key that this user may not read stops the start', {
  skip: process.getuid?.() === 0 && 'privilege: root may read every file',
}, async (t) => {
  const { client } = await setUp(t)
  await chmod(client.keyPath, 0)
  const says = `config.yaml:6: registries[1].tls.key: cannot read ${client.keyPath}: permission denied, want a readable file`
  await assertMistake(t, entryWith({ cert: client.certPath, key: client.keyPath }), says)
})

test('A chain, a bundle, and a certificate and its key in one file are fine', async (t) => {
  const files = await setUp(t)
  const { authority, client, other } = files
  const both = await file(files, 'both', `some words\n${client.key}${client.cert}`)
  const chain = await file(files, 'chain', client.cert + authority.cert)
  const bundle = await file(files, 'bundle', `${authority.cert}# another\n${other.cert}`)
  for (const tls of [
    { cert: both, key: both },
    { cert: chain, key: client.keyPath },
    { ca: bundle, insecureSkipVerify: 'true' },
  ]) {
    assert.deepEqual((await loadText(t, entryWith(tls))).warnings, [])
  }
})

test('A certificate that has expired, or is not valid yet, is warned of with file and date, and stops nothing', async (t) => {
  const { directory, authority } = await setUp(t)
  const iso = (date: Date) => date.toISOString().replace('.000Z', 'Z')
  const cases = [
    [EXPIRED, `expired on ${iso(EXPIRED.to)}`],
    [NOT_YET_VALID, `is not valid before ${iso(NOT_YET_VALID.from)}`],
    [VALID, undefined],
  ] as const
  for (const [i, [validity, problem]] of cases.entries()) {
    const client = await authority.issueFor(validity, 'client')
    const ca = await makeAuthority(directory, `ca ${i}`, validity)
    const { warnings } = await loadText(t, entryWith({ ca: ca.certPath, cert: client.certPath, key: client.keyPath }))
    const lines = [`ca: ${ca.certPath} ${problem}`, `cert: ${client.certPath} ${problem}`].map(
      (line) => `config.yaml: registries[1].tls.${line}`,
    )
    assert.deepEqual(warnings, problem === undefined ? [] : lines)
  }
})
