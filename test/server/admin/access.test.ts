/** Who may use the admin API. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Access, bearerOf, judgeAccess, localUrlOf, refusalOf, urlOf } from '../../../src/server/admin/access.ts'

type Request = { remote?: string | undefined; local?: string | undefined; headers?: Record<string, string | undefined>; hosts?: number }

const cases: [what: string, request: Request, want: Access][] = [
  ['from loopback to loopback', {}, 'open'],
  ['from another loopback address', { remote: '127.9.8.7', local: '127.0.0.2' }, 'open'],
  ['over IPv6', { remote: '::1', local: '::1', headers: { host: '[::1]:8080' } }, 'open'],
  ['to a socket for both families', { remote: '::ffff:127.0.0.1', local: '::ffff:127.0.0.1' }, 'open'],
  ['to localhost by name', { headers: { host: 'localhost:8080' } }, 'open'],
  ['to LOCALHOST', { headers: { host: 'LOCALHOST' } }, 'open'],
  ['through a forwarded port', { headers: { host: '127.0.0.1:9999' } }, 'open'],
  ['from another host', { remote: '10.0.0.7' }, 'token'],
  ['from another host that is mapped', { remote: '::ffff:10.0.0.7' }, 'token'],
  ['from loopback to another address', { local: '10.0.0.1' }, 'token'],
  ['from an address that only begins like loopback', { remote: '127.0.0.1.example' }, 'token'],
  ['from 6to4 of loopback', { remote: '2002:7f00:1::1' }, 'token'],
  ['from a socket that has gone', { remote: undefined }, 'token'],
  ['to a socket that has gone', { local: undefined }, 'token'],
  ['to a name that was rebound to loopback', { headers: { host: 'evil.example:8080' } }, 'token'],
  ['to a name below localhost', { headers: { host: 'evil.localhost' } }, 'token'],
  ['to a name that begins like loopback', { headers: { host: '127.0.0.1.evil.example' } }, 'token'],
  ['to localhost with user', { headers: { host: 'me@localhost' } }, 'token'],
  ['to an address of this host', { headers: { host: '10.0.0.1:8080' } }, 'token'],
  ['to loopback in disguise', { headers: { host: '2130706433' } }, 'token'],
  ['with two Hosts', { hosts: 2 }, 'token'],
  ['without Host', { headers: { host: undefined } }, 'token'],
  ['with an empty Host', { headers: { host: '' } }, 'token'],
  ['with Forwarded', { headers: { forwarded: 'for=10.0.0.7' } }, 'token'],
  ['with X-Forwarded-For', { headers: { 'x-forwarded-for': '127.0.0.1' } }, 'token'],
  ['with an empty X-Forwarded-Host', { headers: { 'x-forwarded-host': '' } }, 'token'],
  ['with X-Forwarded-Whatever', { headers: { 'x-forwarded-whatever': '1' } }, 'token'],
  ['with Via', { headers: { via: '1.1 proxy' } }, 'token'],
  ['from a page of its own', { headers: { origin: 'http://127.0.0.1:8080', 'sec-fetch-site': 'same-origin' } }, 'open'],
  ['typed into a browser', { headers: { 'sec-fetch-site': 'none' } }, 'open'],
  ['with its own Referer', { headers: { referer: 'http://127.0.0.1:8080/cmd/status' } }, 'open'],
  ['from a page of another site', { headers: { origin: 'https://evil.example' } }, 'page'],
  ['from a page on another port', { headers: { origin: 'http://127.0.0.1:3000' } }, 'page'],
  ['from a page without an origin', { headers: { origin: 'null' } }, 'page'],
  ['from an empty origin', { headers: { origin: '' } }, 'page'],
  ['from a file', { headers: { origin: 'file://' } }, 'page'],
  ['with the Referer of another site', { headers: { referer: 'https://evil.example/page' } }, 'page'],
  ['with a Referer that is none', { headers: { referer: 'nonsense' } }, 'page'],
  ['from another site', { headers: { 'sec-fetch-site': 'cross-site' } }, 'page'],
  ['from another site of the same domain', { headers: { 'sec-fetch-site': 'same-site' } }, 'page'],
  ['from elsewhere and a page', { remote: '10.0.0.7', headers: { origin: 'https://evil.example' } }, 'page'],
  ['from a page without Host', { headers: { host: undefined, origin: 'http://127.0.0.1:8080' } }, 'page'],
]

for (const [what, { headers, hosts = 1, ...sockets }, want] of cases) {
  const { remote, local } = { remote: '127.0.0.1', local: '127.0.0.1', ...sockets }
  test(`an admin request ${what}: ${want}`, () =>
    assert.equal(judgeAccess({ remoteAddress: remote, localAddress: local, headers: { host: '127.0.0.1:8080', ...headers }, hosts }), want))
}

const bearers: [authorization: string | undefined, want: string | undefined][] = [
  ['Bearer abc', 'abc'],
  ['bearer   abc ', 'abc'],
  ['Basic YTpi', undefined],
  ['Bearer', undefined],
  ['Bearer a b', undefined],
  [undefined, undefined],
]
for (const [authorization, want] of bearers) {
  test(`the token of Authorization: ${authorization}`, () => assert.equal(bearerOf({ authorization }), want))
}

const urls: [host: string, url: string, local: boolean][] = [
  ['0.0.0.0', 'http://127.0.0.1:8080', true],
  ['::', 'http://127.0.0.1:8080', true],
  ['localhost', 'http://127.0.0.1:8080', true],
  ['127.0.0.2', 'http://127.0.0.2:8080', true],
  ['::1', 'http://[::1]:8080', true],
  ['10.0.0.1', 'http://10.0.0.1:8080', false],
  ['fd00::1', 'http://[fd00::1]:8080', false],
  ['cache.example', 'http://cache.example:8080', false],
]
for (const [host, url, local] of urls) {
  test(`the admin API of a server that listens on ${host} is at ${url}${local ? '' : ', where everybody needs a token'}`, () => {
    assert.equal(urlOf(host, 8080), url)
    assert.equal(localUrlOf(host, 8080), local ? url : undefined)
  })
}

test('A refusal says which address or token to use, and asks for a token only where there is one', () => {
  const url = 'http://127.0.0.1:8080'
  const told = (...args: Parameters<typeof refusalOf>) => {
    const { status, headers, message } = refusalOf(...args)
    return [status, headers['www-authenticate'], message]
  }
  assert.deepEqual(told('token', url, false, true), [
    403,
    undefined,
    `the admin API wants a token here, and admin.tokenFile is not set; on the host itself, ${url}/cmd/… needs none`,
  ])
  assert.deepEqual(told('token', url, true, false), [
    401,
    'Bearer',
    `the admin API wants 'Authorization: Bearer' with the token in admin.tokenFile; on the host itself, ${url}/cmd/… needs none`,
  ])
  assert.deepEqual(told('token', undefined, true, true), [
    401,
    'Bearer',
    'that is not the token in admin.tokenFile; the server does not listen on loopback',
  ])
  assert.equal(told('page', url, true, false)[0], 403)
  assert.match(String(told('page', url, true, false)[2]), /curl, on the host itself at http:\/\/127\.0\.0\.1:8080\/cmd\/…/)
})
