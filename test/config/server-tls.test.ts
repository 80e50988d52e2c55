/** `serverTlsConfig`: what stops the start, what is only warned of, and that whoever asks for TLS never gets less. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { type Authority, type Certificate, EXPIRED, makeAuthority, type Validity } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/files.ts'
import { assertMistake, loadText } from './load-text.ts'

const DAY_MS = 86_400_000
const day = (days: number): Date => new Date(Math.floor(Date.now() / 1000) * 1000 + days * DAY_MS)
const LONG: Validity = { from: day(-1), to: day(90) }

type Files = { readonly directory: string; readonly authority: Authority; readonly server: Certificate; readonly other: Certificate }

async function setUp(t: TestContext): Promise<Files> {
  const directory = await temporaryDirectory(t)
  const authority = await makeAuthority(directory, 'CA', LONG)
  return { directory, authority, server: await authority.issueFor(LONG, 'cache'), other: await authority.issueFor(LONG, 'other') }
}

/** Its keys in lines 2 and following. */
function textWith(tls: Readonly<Record<string, string>>): string {
  return `serverTlsConfig:\n${Object.entries(tls)
    .map(([key, value]) => `  ${key}: ${value}\n`)
    .join('')}`
}

const pair = ({ server }: Files) => ({ cert: server.certPath, key: server.keyPath })

test('Without a certificate the server speaks plain HTTP: by an empty section, an older one, or clientAuth none', async (t) => {
  for (const text of [
    '',
    'serverTlsConfig: {}',
    'serverTlsConfig:\n  cert:\n  key:\n  ca:\n  clientAuth:\n',
    'serverTlsConfig: {clientAuth: none}',
  ]) {
    const { config, warnings } = await loadText(t, text)
    assert.deepEqual([config.serverTls, warnings], [undefined, []])
  }
})

test('A certificate and its key are TLS; clientAuth is none unless it says verify, in upper or lower case', async (t) => {
  const files = await setUp(t)
  const ca = files.authority.certPath
  const cases = [
    [{}, { ca: undefined, clientAuth: 'none' }],
    [
      { clientAuth: 'none', ca },
      { ca, clientAuth: 'none' },
    ],
    [
      { clientAuth: 'Verify', ca },
      { ca, clientAuth: 'verify' },
    ],
    [{ clientAuth: 'verify' }, { ca: undefined, clientAuth: 'verify' }],
  ] as const
  for (const [more, want] of cases) {
    const { config, warnings } = await loadText(t, textWith({ ...pair(files), ...more }))
    assert.deepEqual([config.serverTls, warnings], [{ ...pair(files), ...want }, []])
  }
})

test('A ca without a word on clientAuth is warned of: it verifies nobody', async (t) => {
  const files = await setUp(t)
  const { warnings } = await loadText(t, textWith({ ...pair(files), ca: files.authority.certPath }))
  assert.deepEqual(warnings, ['config.yaml: serverTlsConfig.ca: is not used, since clientAuth is not verify: clients need no certificate'])
})

test('With clientAuth none nobody looks into ca', async (t) => {
  const files = await setUp(t)
  const { warnings } = await loadText(t, textWith({ ...pair(files), ca: '/does/not/exist', clientAuth: 'none' }))
  assert.deepEqual(warnings, [])
})

async function file({ directory }: Files, content: string): Promise<string> {
  const path = join(directory, 'x.pem')
  await writeFile(path, content)
  return path
}

async function shortKey({ directory }: Files): Promise<Record<string, string>> {
  const tls = { cert: join(directory, 'short.crt'), key: join(directory, 'short.key') }
  const subject = ['-keyout', tls.key, '-out', tls.cert, '-subj', '/CN=short']
  await promisify(execFile)('openssl', ['req', '-x509', '-newkey', 'rsa:512', '-nodes', '-days', '90', ...subject])
  return tls
}

type Mistake = [sentence: string, make: (files: Files) => Promise<Record<string, string>>, says: (tls: Record<string, string>) => string]
const mistakes: Mistake[] = [
  [
    'A certificate without its key',
    async ({ server }) => ({ cert: server.certPath }),
    () => '2: serverTlsConfig.cert: found without key, want both',
  ],
  [
    'A key without a certificate',
    async ({ server }) => ({ key: server.keyPath }),
    () => '2: serverTlsConfig.key: found without cert, want both',
  ],
  [
    'Verifying clients without a certificate',
    async ({ authority }) => ({ ca: authority.certPath, clientAuth: 'verify' }),
    () => '3: serverTlsConfig.clientAuth: found verify without cert and key, want them too',
  ],
  [
    'An authority alone',
    async ({ authority }) => ({ ca: authority.certPath }),
    () => '2: serverTlsConfig.ca: found without cert and key, want them too',
  ],
  [
    'The key of another certificate',
    async (files) => ({ ...pair(files), key: files.other.keyPath }),
    ({ cert, key }) => `3: serverTlsConfig.key: ${key} does not belong to the certificate ${cert}, want its key`,
  ],
  [
    'A certificate that is not there',
    async (files) => ({ ...pair(files), cert: '/none' }),
    () => '2: serverTlsConfig.cert: cannot read /none: no such file or directory, want a PEM file with certificates',
  ],
  [
    'A key that is a certificate',
    async (files) => ({ ...pair(files), key: files.server.certPath }),
    ({ key }) => `3: serverTlsConfig.key: ${key} holds no private key in PEM, want a PEM file with a private key`,
  ],
  [
    'Verifying clients by a ca that is empty',
    async (files) => ({ ...pair(files), ca: await file(files, ''), clientAuth: 'verify' }),
    ({ ca }) => `4: serverTlsConfig.ca: ${ca} holds no certificate in PEM, want a PEM file with certificates`,
  ],
  [
    'Verifying clients by a ca that is cut off',
    async (files) => ({ ...pair(files), ca: await file(files, files.authority.cert.slice(0, 300)), clientAuth: 'verify' }),
    ({ ca }) => `4: serverTlsConfig.ca: ${ca} holds a certificate that is cut off, want a PEM file with certificates`,
  ],
  [
    'Verifying clients by a ca that is not there',
    async (files) => ({ ...pair(files), ca: '/none', clientAuth: 'verify' }),
    () => '4: serverTlsConfig.ca: cannot read /none: no such file or directory, want a PEM file with certificates',
  ],
]
for (const [sentence, make, says] of mistakes) {
  test(`${sentence} stops the start, with file, line and key`, async (t) => {
    const tls = await make(await setUp(t))
    await assertMistake(t, textWith(tls), `config.yaml:${says(tls)}`)
  })
}

test('A certificate that TLS takes from nobody stops the start', async (t) => {
  const tls = await shortKey(await setUp(t))
  await assert.rejects(
    loadText(t, textWith(tls)),
    /^ConfigError: config\.yaml:2: serverTlsConfig\.cert: cannot use .*key too small, want what TLS takes$/,
  )
})

const dates: [validity: Validity, says: RegExp | undefined][] = [
  [LONG, undefined],
  [{ from: day(-1), to: day(15) }, undefined],
  [{ from: day(-1), to: day(13.5) }, /expires on \S+, in 13 days$/],
  [EXPIRED, /expired on \S+$/],
]
for (const [validity, says] of dates) {
  const until = Math.round((validity.to.getTime() - Date.now()) / DAY_MS)
  test(`A certificate that is valid for ${until} days stops nothing, and is ${says === undefined ? 'not ' : ''}warned of`, async (t) => {
    const { certPath: cert, keyPath: key } = await (await setUp(t)).authority.issueFor(validity, 'cache')
    const { warnings } = await loadText(t, textWith({ cert, key }))
    assert.equal(warnings.length, says === undefined ? 0 : 1)
    if (says !== undefined) assert.match(warnings[0] ?? '', new RegExp(`^config\\.yaml: serverTlsConfig\\.cert: ${cert} ${says.source}`))
  })
}
