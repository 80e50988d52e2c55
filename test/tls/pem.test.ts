import assert from 'node:assert/strict'
import { test } from 'node:test'
import { certificateBlocks, invalidAt, PemError, readCertificates, readPrivateKey } from '../../src/tls/pem.ts'
import { makeAuthority } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/files.ts'

test('certificates are read one by one, whatever stands around them', async (t) => {
  const directory = await temporaryDirectory(t)
  const [one, two] = [await makeAuthority(directory, 'one'), await makeAuthority(directory, 'two')]
  const trusted = two.cert.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE')
  const text = `# one\r\n${one.cert.replaceAll('\n', '\r\n')}words -- and\n${one.key}${trusted}`
  assert.deepEqual(
    readCertificates(text).map(({ subject }) => subject),
    ['CN=one', 'CN=two'],
  )
  assert.equal(certificateBlocks(text).length, 2)
  assert.equal(readPrivateKey(text).asymmetricKeyType, 'ec')
})

const block = (label: string, content: string): string => `-----BEGIN ${label}-----\n${content}\n-----END ${label}-----\n`
const unusable: [title: string, read: (text: string) => unknown, text: string, problem: RegExp][] = [
  ['nothing', readCertificates, '', /^holds no certificate in PEM$/],
  ['a request', readCertificates, block('CERTIFICATE REQUEST', 'MIIB'), /^holds no certificate in PEM$/],
  ['a beginning', readCertificates, '-----BEGIN CERTIFICATE-----\nMIIB\n', /^holds a certificate that is cut off$/],
  ['a certificate of nonsense', readCertificates, block('CERTIFICATE', 'AAAA'), /^holds a certificate that cannot be read: /],
  ['no key', readPrivateKey, block('CERTIFICATE', 'MIIB'), /^holds no private key in PEM$/],
  ['a public key', readPrivateKey, block('PUBLIC KEY', 'MIIB'), /^holds no private key in PEM$/],
  ['a key of nonsense', readPrivateKey, block('PRIVATE KEY', 'AAAA'), /^holds a private key that cannot be read: /],
  ['an encrypted key', readPrivateKey, block('ENCRYPTED PRIVATE KEY', 'AAAA'), /^holds an encrypted key/],
  ['an encrypted key of old', readPrivateKey, block('RSA PRIVATE KEY', 'Proc-Type: 4,ENCRYPTED\n\nAAAA'), /^holds an encrypted key/],
]
for (const [title, read, text, problem] of unusable) {
  test(`a file with ${title} is told apart`, () => {
    assert.throws(
      () => read(text),
      (error: Error) => error instanceof PemError && problem.test(error.message) && !error.message.includes('\n'),
    )
  })
}

test('a certificate is valid from its first to its last second', async (t) => {
  const from = new Date('2026-01-01T12:00:00Z')
  const to = new Date('2026-02-01T12:00:00Z')
  const [certificate] = readCertificates((await makeAuthority(await temporaryDirectory(t), 'dated', { from, to })).cert)
  for (const [when, problem] of [
    [from.getTime() - 1, 'is not valid before 2026-01-01T12:00:00Z'],
    [from.getTime(), undefined],
    [to.getTime(), undefined],
    [to.getTime() + 1, 'expired on 2026-02-01T12:00:00Z'],
  ] as const) {
    assert.equal(invalidAt(certificate, when), problem)
  }
})
