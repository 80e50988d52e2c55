/** HTTP_PROXY, HTTPS_PROXY and NO_PROXY: what they mean, and what they cannot mean. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ProxyServer } from '../../src/config/config.ts'
import { readProxies } from '../../src/config/proxies.ts'
import { loadText } from './load-text.ts'

const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`

const servers: [value: string, want: Omit<ProxyServer, 'variable'>][] = [
  ['http://proxy.example:3128', { origin: 'http://proxy.example:3128' }],
  ['http://proxy.example:3128/', { origin: 'http://proxy.example:3128' }],
  ['  http://proxy.example  ', { origin: 'http://proxy.example' }],
  ['HTTPS://Proxy.Example:443', { origin: 'https://proxy.example' }],
  ['proxy.example:3128', { origin: 'http://proxy.example:3128' }],
  ['proxy.example', { origin: 'http://proxy.example' }],
  ['10.0.0.1:8080', { origin: 'http://10.0.0.1:8080' }],
  ['[fd00::1]:8080', { origin: 'http://[fd00::1]:8080' }],
  ['ann:pw@proxy.example:3128', { origin: 'http://proxy.example:3128', authorization: basic('ann:pw') }],
  ['http://ann:p%40s%3As@proxy.example', { origin: 'http://proxy.example', authorization: basic('ann:p@s:s') }],
  ['http://ann@proxy.example', { origin: 'http://proxy.example', authorization: basic('ann:') }],
  ['http://ann:p@ss@proxy.example', { origin: 'http://proxy.example', authorization: basic('ann:p@ss') }],
  ['http://%C3%A4nn:pw@proxy.example', { origin: 'http://proxy.example', authorization: basic('änn:pw') }],
  ['http://a%0d%0aX-Evil:%201@proxy.example', { origin: 'http://proxy.example', authorization: basic('a\r\nX-Evil: 1') }],
]
for (const [value, want] of servers) {
  test(`HTTPS_PROXY=${value} is a proxy at ${want.origin}`, () => {
    assert.deepEqual(readProxies({ HTTPS_PROXY: value }).proxies, { https: { variable: 'HTTPS_PROXY', ...want }, exceptions: [] })
  })
}

test('Credentials of a proxy stay on one line of its header, whatever they hold', () => {
  const { proxies } = readProxies({ HTTP_PROXY: `http://${encodeURIComponent('x\r\ny: z\0'.repeat(50))}:p@proxy.example` })
  assert.match(proxies.http?.authorization ?? '', /^Basic [A-Za-z0-9+/=]+$/)
})

const variables: [env: Record<string, string>, http: string | undefined, https: string | undefined][] = [
  [{}, undefined, undefined],
  [{ HTTP_PROXY: '', HTTPS_PROXY: ' ' }, undefined, undefined],
  [{ HTTP_PROXY: 'a' }, 'HTTP_PROXY http://a', undefined],
  [{ http_proxy: 'a' }, 'http_proxy http://a', undefined],
  [{ HTTPS_PROXY: 'a' }, undefined, 'HTTPS_PROXY http://a'],
  [{ https_proxy: 'a', http_proxy: 'b' }, 'http_proxy http://b', 'https_proxy http://a'],
  [{ HTTPS_PROXY: 'upper', https_proxy: 'lower' }, undefined, 'HTTPS_PROXY http://upper'],
  [{ HTTPS_PROXY: '', https_proxy: 'lower' }, undefined, 'https_proxy http://lower'],
  [{ ALL_PROXY: 'a' }, undefined, undefined],
]
for (const [env, http, https] of variables) {
  test(`The environment ${JSON.stringify(env)} names ${http ?? 'none'} and ${https ?? 'none'}`, () => {
    const { proxies } = readProxies(env)
    const show = (server: ProxyServer | undefined) => server && `${server.variable} ${server.origin}`
    assert.deepEqual([show(proxies.http), show(proxies.https)], [http, https])
  })
}

const WANT = 'want http://[user:password@]host[:port], with %40 for @ and so on in user and password'
const mistakes: [value: string, problem: string][] = [
  ['http://', `found what is no URL of a proxy, ${WANT}`],
  ['http://ann:s3cret@', `found what is no URL of a proxy, ${WANT}`],
  ['http://ann:s3c#ret@proxy.example:3128', `found what is no URL of a proxy, ${WANT}`],
  ['http://proxy.example:port', `found what is no URL of a proxy, ${WANT}`],
  ['http://proxy.example:99999', `found what is no URL of a proxy, ${WANT}`],
  ['http://ann:s3cret%zz@proxy.example', `found a user or password with a % that begins no code, ${WANT}`],
  ['socks5://ann:s3cret@proxy.example', 'found a proxy of the type socks5, want http or https'],
  ['file:///etc/passwd', 'found a proxy of the type file, want http or https'],
]
for (const [value, problem] of mistakes) {
  for (const variable of ['HTTP_PROXY', 'https_proxy']) {
    test(`${variable}=${value} stops the start, and is not shown`, async (t) => {
      const message = `${variable} in the environment: ${problem}`
      await assert.rejects(loadText(t, '', { env: { [variable]: value } }), { name: 'ConfigError', message })
      assert.equal(message.includes('s3c'), false)
    })
  }
}

test('Proxies are part of the configuration, which is frozen', async (t) => {
  const { config, warnings } = await loadText(t, '', { env: { HTTPS_PROXY: 'proxy.example:3128', NO_PROXY: '10.0.0.0/8' } })
  assert.deepEqual(config.proxies, {
    https: { variable: 'HTTPS_PROXY', origin: 'http://proxy.example:3128' },
    exceptions: [{ kind: 'addresses', address: '10.0.0.0', prefix: 8, family: 'ipv4' }],
  })
  assert.deepEqual(warnings, [])
  for (const part of [config.proxies, config.proxies.https, config.proxies.exceptions]) assert.ok(Object.isFrozen(part))
})

test('An entry of NO_PROXY that matches nothing is warned of, where there is a proxy', async (t) => {
  const env = { no_proxy: '192.168., 10.0.0.0/33,example.com,<local>' }
  assert.deepEqual((await loadText(t, '', { env })).warnings, [])
  assert.deepEqual(
    (await loadText(t, '', { env: { ...env, HTTP_PROXY: 'proxy' } })).warnings,
    ['192.168.', '10.0.0.0/33', '<local>'].map(
      (entry) => `no_proxy: "${entry}" matches nothing, want *, a domain, an address or a network such as 10.0.0.0/8`,
    ),
  )
})
