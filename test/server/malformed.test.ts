/** Names, tags and digests that are none: 400 with a code before anything looks at them; the upstream is not asked and nothing is written. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { assertError } from '../wire/answers.ts'

const HEX = '0123456789abcdef'.repeat(4)

async function start(t: TestContext): Promise<{ hub: FakeRegistry; server: TestServer }> {
  const hub = await startFakeRegistry(t)
  hub.addImage('library/alpine', '3')
  return { hub, server: await startServer(t, { registries: [entry(hub, 'docker.io')] }) }
}

/** What a name may not be, as it stands in a path. */
const names = [
  '..',
  '.',
  '../..',
  '../../etc/passwd',
  'a/../b',
  'a/./b',
  '%2e%2e',
  '%2E%2e/x',
  '.%2e/x',
  '%2e',
  'a%2fb',
  'a%2Fb',
  '..%2f..%2fetc',
  '%2fetc',
  '%00',
  'a%00',
  'a%00.b',
  'a%0d%0ax:y',
  'a%0a',
  'a%20b',
  'a%25b',
  '%252e%252e',
  'a%5cb',
  'a%3ab',
  'a%40b',
  '%c0%ae%c0%ae',
  '%ff%fe',
  '%ed%a0%80',
  '%f0%9f%90%b3',
  '%',
  '%z',
  'a%',
  '/a',
  'a/',
  'a//b',
  'A',
  'Library/alpine',
  '-a',
  'a-',
  '_a',
  'a_',
  '.a',
  'a.',
  'a..b',
  'a._b',
  'a.-b',
  'a___b',
  'a/-b',
  'a+b',
  'a~b',
  'a@b',
  "a'b",
  'a;b',
  'x'.repeat(256),
  Array.from({ length: 129 }, () => 'a').join('/'),
]

const tags = [
  '.a',
  '-a',
  '..',
  '%2e%2e',
  'a%2fb',
  '..%2fx',
  '%00',
  'a%00',
  'a%0d%0aset-cookie',
  'a%20',
  'a+b',
  'a@b',
  'a%',
  '%ff',
  '%c3%a9',
  'x'.repeat(129),
]

const digests = [
  'sha256:',
  'sha256:abc',
  'sha256:totallywrong',
  `sha256:${HEX.toUpperCase()}`,
  `SHA256:${HEX}`,
  `sha256:${HEX}0`,
  `sha256:${HEX.slice(1)}`,
  `sha256:${HEX.slice(1)}g`,
  `sha256:${HEX}%00`,
  `sha256:${HEX}%0a`,
  `sha256:../../${HEX.slice(6)}`.replaceAll('/', '%2f'),
  `sha512:${HEX}`,
  `sha512:${HEX}${HEX}0`,
  `sha384:${HEX}${HEX.slice(32)}`,
  `md5:${HEX.slice(32)}`,
  `:${HEX}`,
  `sha256:sha256:${HEX}`,
  `sha256%3A${HEX}x`,
  'x'.repeat(3000).concat(':'),
]

type Row = [target: string, code: string]

const rows: Row[] = [
  ...names.flatMap((name): Row[] => [
    [`/v2/${name}/manifests/3`, 'NAME_INVALID'],
    [`/v2/${name}/blobs/sha256:${HEX}`, 'NAME_INVALID'],
    [`/v2/${name}/tags/list`, 'NAME_INVALID'],
    [`/v2/${name}/referrers/sha256:${HEX}`, 'NAME_INVALID'],
    [`/v2/${name}/manifests/3?ns=docker.io`, 'NAME_INVALID'],
    [`/v2/docker.io/${name}/manifests/3`, 'NAME_INVALID'],
    [`/docker.io/v2/${name}/manifests/3`, 'NAME_INVALID'],
  ]),
  ...tags.map((tag): Row => [`/v2/library/alpine/manifests/${tag}`, 'MANIFEST_INVALID']),
  ...digests.flatMap((digest): Row[] => [
    [`/v2/library/alpine/manifests/${digest}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/blobs/${digest}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/referrers/${digest}`, 'DIGEST_INVALID'],
  ]),
  ...['3', 'latest', '..', '%2e%2e', 'a%2fb', '%00', '%ff', HEX, `sha256-${HEX}`].flatMap((word): Row[] => [
    [`/v2/library/alpine/blobs/${word}`, 'DIGEST_INVALID'],
    [`/v2/library/alpine/referrers/${word}`, 'DIGEST_INVALID'],
  ]),
]

/** These are legal, or another rule comes first: a host in front, an empty last segment. */
const otherwise: Row[] = [
  ['/v2/library/alpine/manifests/', 'UNSUPPORTED'],
  ['/v2/library/alpine/blobs/', 'UNSUPPORTED'],
  ['/../v2/a/manifests/1', 'NAME_UNKNOWN'],
  ['/%2e%2e/v2/a/manifests/1', 'NAME_UNKNOWN'],
  ['/%ff/v2/a/manifests/1', 'NAME_UNKNOWN'],
  ['/v2/a/manifests/1?ns=%00', 'NAME_UNKNOWN'],
  ['/v2/a/manifests/1?ns=..', 'NAME_UNKNOWN'],
  ['/v2/a/manifests/1?ns=%2e%2e%2fetc', 'NAME_UNKNOWN'],
  ['/v2/a/manifests/1?ns=a%0d%0aset-cookie:%20x', 'NAME_UNKNOWN'],
  ['/v2/a/manifests/1?ns=%ff', 'NAME_UNKNOWN'],
  ['/../../etc/passwd', 'UNSUPPORTED'],
  ['/v2/../../etc/passwd', 'UNSUPPORTED'],
  ['/v2', ''],
]

test('malformed names, tags and digests are 400 with JSON; nobody is asked and nothing is written', async (t) => {
  const { hub, server } = await start(t)
  const before = await server.files()
  const connection = await server.connect()
  for (const [target, code] of rows) {
    await t.test(`${target.slice(0, 120)}: ${code}`, async () => {
      assertError(await connection.ask({ target }), 400, code)
      assertError(await connection.ask({ method: 'HEAD', target }), 400, code, { method: 'HEAD' })
    })
  }
  assert.equal(hub.count(), 0)
  assert.deepEqual(await server.files(), before)
  assert.deepEqual(
    server.log.lines.filter(({ level }) => level === 'warn' || level === 'error'),
    [],
  )
})

test('odd targets that another rule refuses: nobody is asked and nothing is written', async (t) => {
  const { hub, server } = await start(t)
  const before = await server.files()
  for (const [target, code] of otherwise) {
    const response = await server.get(target)
    if (code === '') assert.equal(response.status, 200)
    else assertError(response, 404, code)
  }
  assert.equal(hub.count(), 0)
  assert.deepEqual(await server.files(), before)
})

test('a raw byte above ASCII, or a control character, in the target is refused by the parser', async (t) => {
  const { hub, server } = await start(t)
  for (const byte of ['\x00', '\x01', '\t', '\x0b', '\x7f', '\x80', '\xe9', '\xff']) {
    const connection = await server.connect()
    connection.write(Buffer.from(`GET /v2/a${byte}b/manifests/3 HTTP/1.1\r\nhost: x\r\n\r\n`, 'latin1'))
    const { bytes } = await connection.rest()
    assert.match(bytes.toString('latin1'), /^HTTP\/1\.1 400 /)
  }
  assert.equal(hub.count(), 0)
})

test('names that look odd and are legal go upstream as they are', async (t) => {
  const { hub, server } = await start(t)
  const legal = ['a__b', 'a---b', 'a.b_c', 'a/b/c/d/e/f/g', '0', '0.0', 'v2/v2', 'blobs/uploads', 'manifests/tags/list', 'x'.repeat(247)]
  for (const name of legal) {
    const repository = name.includes('/') ? name : `library/${name}`
    const { digest } = hub.addImage(repository, '1')
    const response = await server.get(`/v2/${name}/manifests/1`)
    assert.equal(response.status, 200, name)
    assert.equal(response.header('docker-content-digest'), digest)
  }
  // an escape that hides nothing is decoded, once
  assert.equal((await server.get('/v2/library/%61lpine/manifests/%33')).status, 200)
})

test('messages quote no more than a part of what was sent, and stay JSON', async (t) => {
  const { server } = await start(t)
  for (const target of [
    `/v2/${'x'.repeat(8000)}/manifests/1`,
    `/v2/a/manifests/${'x'.repeat(8000)}`,
    `/v2/a/blobs/${'x'.repeat(8000)}`,
    `/${'x'.repeat(8000)}`,
    `/v2/a/manifests/1?ns=${'x'.repeat(8000)}`,
    '/v2/a"b\\/manifests/1',
  ]) {
    const response = await server.get(target)
    assert(response.status >= 400 && response.status < 500)
    assert(response.body.length < 600, `${response.body.length} bytes`)
    response.json()
  }
})
