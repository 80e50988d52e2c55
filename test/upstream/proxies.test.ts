/** Which URLs are reached through a proxy: the rules of NO_PROXY, and this machine. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Agent, type buildConnector, request } from 'undici'
import { readProxies } from '../../src/config/proxies.ts'
import { type Destination, Proxies } from '../../src/upstream/proxies.ts'

function isProxied(url: string, noProxy: string): boolean {
  const env = { HTTP_PROXY: 'proxy.example', HTTPS_PROXY: 'proxy.example', NO_PROXY: noProxy }
  return new Proxies(readProxies(env).proxies).for(new URL(url)) !== undefined
}

const rules: [noProxy: string, proxied: string[], direct: string[]][] = [
  ['', ['https://example.com', 'http://8.8.8.8', 'https://[2001:db8::1]'], []],
  ['*', [], ['https://example.com', 'http://8.8.8.8', 'https://[2001:db8::1]:5000']],
  ['other.com,*', [], ['https://example.com']],
  [
    'example.com',
    ['https://badexample.com', 'https://example.com.evil.org', 'https://example.org', 'https://com'],
    ['https://example.com', 'http://example.com:5000', 'https://a.example.com', 'https://a.b.example.com', 'https://EXAMPLE.com.'],
  ],
  ['.example.com', ['https://example.com', 'https://badexample.com'], ['https://a.example.com', 'https://a.b.example.com.']],
  ['*.example.com', ['https://example.com'], ['https://a.example.com']],
  ['Example.COM.', ['https://example.org'], ['https://example.com', 'https://a.example.com']],
  ['example.com:5000', ['https://example.com', 'https://example.com:5001'], ['https://example.com:5000', 'http://a.example.com:5000']],
  ['example.com:443', ['http://example.com', 'https://example.com:8443'], ['https://example.com', 'https://example.com:443']],
  ['example.com:80', ['https://example.com'], ['http://example.com']],
  ['bücher.example', ['https://buecher.example'], ['https://bücher.example', 'https://xn--bcher-kva.example']],
  [' a.io , b.io\tc.io,,', ['https://d.io'], ['https://a.io', 'https://b.io', 'https://c.io']],
  [
    '10.1.2.3',
    ['https://10.1.2.4', 'https://x10.1.2.3.example'],
    ['https://10.1.2.3', 'https://10.1.2.3:5000', 'https://[::ffff:10.1.2.3]'],
  ],
  ['10.1.2.3:5000', ['https://10.1.2.3'], ['https://10.1.2.3:5000']],
  [
    '10.0.0.0/8',
    ['https://11.0.0.1', 'https://10.example.com'],
    ['https://10.255.0.1', 'https://[::ffff:a01:203]', 'https://0x0a.1', 'https://10.1.2.3.'],
  ],
  ['10.1.2.3/8', ['https://11.0.0.1'], ['https://10.200.0.1']],
  ['0.0.0.0/0', ['https://[2001:db8::1]', 'https://example.com'], ['https://8.8.8.8']],
  ['2001:db8::/32', ['https://[2001:db9::1]', 'https://8.8.8.8'], ['https://[2001:db8::1]', 'https://[2001:0DB8:0::1]:5000']],
  ['[2001:db8::]/32', ['https://[2001:db9::1]'], ['https://[2001:db8::1]']],
  ['2001:db8::1', ['https://[2001:db8::2]'], ['https://[2001:db8::1]', 'https://[2001:db8:0:0:0:0:0:1]:5000']],
  ['[2001:db8::1]', ['https://[2001:db8::2]'], ['https://[2001:db8::1]']],
  ['[2001:db8::1]:5000', ['https://[2001:db8::1]'], ['https://[2001:db8::1]:5000']],
  ['::ffff:10.1.2.3', ['https://10.1.2.4'], ['https://[::ffff:10.1.2.3]']],
  ['.', ['https://example.com'], []],
  [':5000', ['https://example.com:5000'], []],
]
for (const [noProxy, proxied, direct] of rules) {
  test(`NO_PROXY='${noProxy}'`, () => {
    for (const url of proxied) assert.equal(isProxied(url, noProxy), true, `${url} goes through the proxy`)
    for (const url of direct) assert.equal(isProxied(url, noProxy), false, `${url} is reached directly`)
  })
}

for (const host of [
  'localhost',
  'LOCALHOST:5000',
  'localhost.',
  'a.localhost',
  '127.0.0.1',
  '127.1.2.3:5000',
  '127.1',
  '0x7f.1',
  '2130706433',
  '127.0.0.1.',
  '[::1]',
  '[::ffff:127.0.0.1]:5000',
  '[64:ff9b::7f00:1]',
]) {
  test(`${host} is never reached through a proxy`, () => {
    assert.deepEqual([isProxied(`https://${host}`, ''), isProxied(`http://${host}`, '')], [false, false])
  })
}

test('each scheme has its own proxy', () => {
  const proxies = new Proxies(readProxies({ HTTP_PROXY: 'one', HTTPS_PROXY: 'two' }).proxies)
  assert.deepEqual(
    [proxies.for(new URL('http://a.io'))?.origin, proxies.for(new URL('https://a.io'))?.origin],
    ['http://one', 'http://two'],
  )
  const one = new Proxies(readProxies({ HTTP_PROXY: 'one' }).proxies)
  assert.deepEqual([one.for(new URL('http://a.io'))?.origin, one.for(new URL('https://a.io'))], ['http://one', undefined])
})

test('the connector is asked for what the request was sent to: both decide alike, so that credentials of the proxy go to the proxy only', async () => {
  const hosts = [
    'example.com',
    'a.example.com.:443',
    'b.org:80',
    'b.org:443',
    '10.1.2.3:5000',
    '[2001:db8::1]:5000',
    '[::ffff:10.1.2.3]',
    'localhost.',
    '[::1]:1',
  ]
  const env = { HTTP_PROXY: 'one', HTTPS_PROXY: 'two', NO_PROXY: 'example.com,b.org:443,10.1.2.3:5000,[2001:db8::1]:5000' }
  const proxies = new Proxies(readProxies(env).proxies)
  for (const url of hosts.flatMap((host) => [new URL(`http://${host}/x`), new URL(`https://${host}/x`)])) {
    const asked = await new Promise<Destination>((resolve) => {
      const connect: buildConnector.connector = (options, callback) => {
        resolve({ ...options, port: options.port ?? '' })
        callback(new Error('not now'), null)
      }
      request(url, { dispatcher: new Agent({ connect }) }).catch(() => {})
    })
    assert.equal(proxies.for(asked), proxies.for(url), url.href)
  }
})
