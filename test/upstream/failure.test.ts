import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failureOf, isClosedUnderRequest, kindOfStatus, messageOfErrorBody, parseRetryAfter } from '../../src/upstream/failure.ts'

const coded = (code: string): Error => Object.assign(new Error(`about ${code}`), { code })
/** As native fetch reports trouble. */
const fetched = (cause: unknown): Error => new TypeError('fetch failed', { cause })
const many = (code: string): Error => Object.assign(new AggregateError([coded(code), coded('EHOSTUNREACH')]), { code })

const failures: [error: Error, kind: string, reason?: string][] = [
  [coded('ECONNREFUSED'), 'unreachable'],
  [many('ECONNREFUSED'), 'unreachable'],
  [new AggregateError([coded('ENETUNREACH')]), 'unreachable'],
  [fetched(coded('ECONNRESET')), 'unreachable'],
  [fetched(many('ETIMEDOUT')), 'timeout'],
  [coded('UND_ERR_SOCKET'), 'unreachable'],
  [coded('UND_ERR_CONNECT_TIMEOUT'), 'timeout'],
  [coded('ENOTFOUND'), 'dns'],
  [fetched(coded('EAI_AGAIN')), 'dns'],
  [coded('SELF_SIGNED_CERT_IN_CHAIN'), 'tls', 'unknownIssuer'],
  [coded('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), 'tls', 'unknownIssuer'],
  [fetched(coded('CERT_HAS_EXPIRED')), 'tls', 'expired'],
  [coded('CERT_NOT_YET_VALID'), 'tls', 'notYetValid'],
  [coded('ERR_TLS_CERT_ALTNAME_INVALID'), 'tls', 'wrongName'],
  [coded('CERT_REVOKED'), 'tls', 'badCertificate'],
  [coded('ERR_SSL_WRONG_VERSION_NUMBER'), 'tls', 'notTls'],
  [coded('ERR_SSL_PACKET_LENGTH_TOO_LONG'), 'tls', 'notTls'],
  [coded('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'), 'tls', 'clientCertificate'],
  [coded('ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED'), 'tls', 'clientCertificate'],
  [coded('ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED'), 'tls', 'clientCertificate'],
  [coded('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'), 'tls', 'clientCertificate'],
  [coded('ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'), 'tls', 'clientCertificate'],
  [coded('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'), 'tls'],
  [coded('EPROTO'), 'tls'],
  [coded('HPE_INVALID_CONSTANT'), 'failed'],
  [new Error('no code'), 'failed'],
]
for (const [error, kind, reason] of failures) {
  test(`failure ${(error as { code?: string }).code ?? error.message}: ${kind} ${reason ?? ''}`, () => {
    const found = failureOf(error)
    assert.deepEqual([found.kind, found.reason], [kind, reason])
    assert.notEqual(found.text, '')
  })
}

test('a closed connection is recognised below fetch, a refused one is not taken for it', () => {
  assert.equal(isClosedUnderRequest(fetched(coded('UND_ERR_SOCKET'))), true)
  assert.equal(isClosedUnderRequest(coded('ECONNRESET')), true)
  assert.equal(isClosedUnderRequest(fetched(coded('ECONNREFUSED'))), false)
})

const statuses: [number, string][] = [
  [401, 'denied'],
  [403, 'denied'],
  [404, 'notFound'],
  [429, 'limited'],
  [500, 'failed'],
  [503, 'failed'],
  [302, 'failed'],
  [204, 'failed'],
]
for (const [status, kind] of statuses) test(`status ${status} is '${kind}'`, () => assert.equal(kindOfStatus(status), kind))

const now = Date.UTC(2026, 0, 1)
const retries: [header: string | undefined, ms: number | undefined][] = [
  ['30', 30_000],
  [' 0 ', 0],
  ['86400', 3_600_000],
  ['Thu, 01 Jan 2026 00:00:20 GMT', 20_000],
  ['Wed, 31 Dec 2025 23:59:00 GMT', 0],
  ['Thu, 01 Jan 2099 00:00:00 GMT', 3_600_000],
  ['soon', undefined],
  ['', undefined],
  [undefined, undefined],
]
for (const [header, ms] of retries) test(`Retry-After: ${header}`, () => assert.equal(parseRetryAfter(header, now), ms))

const bodies: [text: string, message: string][] = [
  ['{"errors":[{"code":"DENIED","message":"not for you"}]}', 'not for you'],
  ['{"errors":[{"code":"DENIED","message":""}]}', 'DENIED'],
  ['{"errors":[{"message":"two\\nlines\\u001b[31m"}]}', 'two lines [31m'],
  [`{"errors":[{"message":"${'x'.repeat(500)}"}]}`, 'x'.repeat(200)],
  ['{"errors":[]}', ''],
  ['{"errors":{}}', ''],
  ['null', ''],
  ['<html>', ''],
  ['<html><head><title>400 No required SSL certificate was sent</title></head>', 'No required SSL certificate was sent'],
  ['<TITLE> Access\nDenied\u0007 </TITLE>', 'Access Denied '],
  [`<title>${'x'.repeat(500)}</title>`, 'x'.repeat(200)],
  ['<title></title>', ''],
  [`<title>${' '.repeat(60_000)}`, ''],
]
for (const [text, message] of bodies) {
  test(`error body ${text.slice(0, 40)}`, () => assert.equal(messageOfErrorBody(text), message))
}
