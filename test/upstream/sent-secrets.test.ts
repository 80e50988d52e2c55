/** What a server says of what it was sent goes to clients and into the log: without the secrets in it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { toCredentials } from '../../src/upstream/credentials.ts'
import { type Sent, strikeSent } from '../../src/upstream/sent-secrets.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { FakeAuth } from '../support/fake-registry-auth.ts'
import type { Action } from '../support/fake-registry-faults.ts'
import { redirect, status } from '../support/fake-registry-faults.ts'
import type { SeenRequest } from '../support/fake-registry-ledger.ts'
import { password, REPOSITORY, TAG, upstreamOf } from './support.ts'

const SECRET = 'pässw:rd &1'
const known = toCredentials({ kind: 'password', user: 'ann', password: SECRET }, 'creds.yaml')
const basic = known.basic ?? ''
const url = new URL('https://cdn.test/x?X-Amz-Signature=abcdef%2Fghi%3D&n=100000000&scope=repository:team/app:pull&v=1')
const SENT: Sent = { url, authorization: basic, credentials: known }
const token = { ...SENT, authorization: 'Bearer eyJh.b-c_d' }
const short: Sent = { url, authorization: `Basic ${Buffer.from('ann:app').toString('base64')}`, credentials: undefined }
const identity: Sent = { url, authorization: undefined, credentials: toCredentials({ kind: 'identityToken', token: 'refresh-1' }, 'x') }

const cases: [said: string, sent: Sent, want: string][] = [
  ['access to repository:team/app:pull is denied', SENT, 'access to repository:team/app:pull is denied'],
  [`got '${basic}'`, SENT, "got 'Basic ***'"],
  [`got ${basic.replace(/=+$/, '')}.`, SENT, 'got Basic ***.'],
  [`ann:${SECRET} is wrong`, SENT, '*** is wrong'],
  [`ann has not ${SECRET}!`, SENT, 'ann has not ***!'],
  [`?password=${encodeURIComponent(SECRET)}`, SENT, '?password=***'],
  [`?password=p%C3%A4ssw%3Ard+%261`, SENT, '?password=***'],
  ['Bearer eyJh.b-c_d has expired', token, 'Bearer *** has expired'],
  [`${SECRET} was never asked for`, token, '*** was never asked for'],
  [`the proxy got ${basic}`, { ...identity, toProxy: basic }, 'the proxy got Basic ***'],
  ['refresh-1 is revoked', identity, '*** is revoked'],
  ['signature abcdef/ghi= of abcdef%2Fghi%3D', SENT, 'signature *** of ***'],
  ['n=100000000, v=1', SENT, 'n=100000000, v=1'],
  ['app is not application app', short, '*** is not application ***'],
]
for (const [said, sent, want] of cases) test(`'${said}' is told as '${want}'`, () => assert.equal(strikeSent(said, sent), want))

/** Answers with what it was sent. */
const echo =
  (code: number, of: (request: SeenRequest) => string): Action =>
  (answer, request) =>
    status(code, {}, of(request))(answer, request)

const header = ({ headers }: SeenRequest) => `denied for ${headers.authorization} (${plain(headers.authorization)})`
const plain = (value = '') => Buffer.from(value.split(' ')[1] ?? '', 'base64').toString()

test('A registry that quotes the password or the token it got shows neither', async (t) => {
  for (const scheme of ['basic', 'bearer'] as const) {
    const registry = await startFakeRegistry(t, { auth: new FakeAuth({ scheme, users: { ann: 'the secret' } }) })
    const upstream = upstreamOf(t, registry, { auth: password('ann', 'the secret') })
    registry.addImage('team/app', 'v1')
    await upstream.getManifest(REPOSITORY, TAG)
    registry.fault({ match: { kind: 'manifest' }, do: [echo(403, header)] })
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), ({ message }: Error) => {
      const said = /\((.*?)\);/s.exec(message)?.[1] ?? ''
      assert.match(said, /^denied for (?:Basic|Bearer) \*\*\* \(/)
      assert(!message.includes('the secret') && !/token-[0-9a-f]/.test(message), message)
      return true
    })
    assert.match(upstream.health().refused?.why ?? '', /denied for \S+ \*\*\*/)
  }
})

test('A token realm that quotes the password it got does not show it', async (t) => {
  const registry = await startFakeRegistry(t, { auth: new FakeAuth({ scheme: 'bearer', users: { ann: 'the secret' } }) })
  const upstream = upstreamOf(t, registry, { auth: password('ann', 'the secret') })
  registry.fault({ match: { kind: 'token' }, do: [echo(401, header)] })
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), /denied for Basic \*\*\* \(\*\*\*\)/)
})

test('What a redirect leads to and quotes the signature of its link does not show it', async (t) => {
  const [registry, cdn] = [await startFakeRegistry(t), await startFakeRegistry(t)]
  registry.fault({ match: { kind: 'blob' }, do: [redirect(() => `${cdn.origin}/cdn/x?Signature=very%2Fsecret`)] })
  cdn.fault({ match: {}, do: [echo(403, ({ query }) => `no match: ${query.get('Signature')}`)] })
  await assert.rejects(upstreamOf(t, registry).openBlob(REPOSITORY, digestOf(Buffer.from('x')), 0), /no match: \*\*\*/)
})
