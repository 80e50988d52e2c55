/** The switches do what the matrix believes they do: else it would prove nothing. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { get } from 'node:https'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digestHex, digestOf } from '../../src/oci/digest.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { type Action, chunked, lengthOff, limited, loginPage, padded, truncated, wrongDigest } from '../support/fake-registry-faults.ts'
import { expiringLinks } from '../support/fake-registry-links.ts'
import { deadOrigin, FakeNames } from '../support/fake-registry-names.ts'
import { temporaryDirectory } from '../support/files.ts'
import { PacedClock } from './paced-clock.ts'
import { faultsOfStore, leftoversOfStore } from './store-check.ts'

const CONTENT = Buffer.from('0123456789'.repeat(10))

type Got = { status: number; headers: Headers; body: string; whole: boolean }

async function ask(url: string): Promise<Got> {
  const response = await fetch(url, { headers: { connection: 'close' } })
  const { status, headers } = response
  let body = ''
  try {
    for await (const chunk of response.body ?? []) body += Buffer.from(chunk).toString()
    return { status, headers, body, whole: true }
  } catch {
    return { status, headers, body, whole: false }
  }
}

async function withBlob(t: TestContext): Promise<{ registry: FakeRegistry; url: string }> {
  const registry = await startFakeRegistry(t)
  return { registry, url: `${registry.origin}/v2/a/b/blobs/${registry.addBlob(CONTENT)}` }
}

const text = String(CONTENT)
const actions: [name: string, actions: Action[], check: (got: Got) => void][] = [
  ['lengthOff, more', [lengthOff(20)], (got) => assert.deepEqual([got.headers.get('content-length'), got.whole], ['120', false])],
  ['lengthOff, fewer', [lengthOff(-20)], (got) => assert.equal(got.headers.get('content-length'), '80')],
  [
    'truncated',
    [truncated(30)],
    (got) => assert.deepEqual([got.headers.get('content-length'), got.body, got.whole], ['30', text.slice(0, 30), true]),
  ],
  [
    'truncated and chunked',
    [chunked(), truncated(30)],
    (got) => assert.deepEqual([got.headers.get('content-length'), got.body, got.whole], [null, text.slice(0, 30), true]),
  ],
  ['padded', [padded(3)], (got) => assert.deepEqual([got.headers.get('content-length'), got.body, got.whole], ['103', `${text}xxx`, true])],
  ['wrongDigest', [wrongDigest()], (got) => assert.match(got.headers.get('docker-content-digest') ?? '', /^sha256:0{64}$/)],
  ['loginPage', [loginPage()], (got) => assert.deepEqual([got.status, got.headers.get('content-type')], [200, 'text/html'])],
  ['limited', [limited()], (got) => assert.deepEqual([got.status, got.headers.get('retry-after')], [429, null])],
  ['limited for a while', [limited(7)], (got) => assert.deepEqual([got.status, got.headers.get('retry-after')], [429, '7'])],
]

for (const [name, does, check] of actions) {
  test(`switch ${name}`, async (t) => {
    const { registry, url } = await withBlob(t)
    const fault = registry.fault({ match: { kind: 'blob' }, do: does })
    check(await ask(url))
    assert.equal(fault.hits, 1)
    fault.remove()
    assert.equal((await ask(url)).body, text)
  })
}

test('switch expiringLinks: a link ends with its bytes or its requests, and the registry gives a new one', async (t) => {
  const { registry, url } = await withBlob(t)
  const cdn = await startFakeRegistry(t, { content: registry.content })
  const locationOf = async (): Promise<string> => {
    const { headers } = await fetch(url, { redirect: 'manual', headers: { connection: 'close' } })
    return headers.get('location') ?? ''
  }
  const bytes = expiringLinks(registry, cdn, { bytes: { manifest: 10, blob: 40 } })
  const link = await locationOf()
  const first = await ask(link)
  assert.deepEqual([first.status, first.body, first.whole], [200, text.slice(0, 40), false])
  assert.equal((await ask(link)).status, 403)
  assert.equal((await ask(await locationOf())).status, 200)
  assert.equal(bytes.hits, 3)
  bytes.remove()

  const requests = expiringLinks(registry, cdn, { requests: 1 })
  const once = await locationOf()
  assert.deepEqual([(await ask(once)).status, (await ask(once)).status, requests.hits], [200, 403, 1])
  requests.remove()
  assert.equal((await ask(url)).body, text)
})

test('switch alertHandshakes: TLS clients get an alert, and a certificate again when it is removed', async (t) => {
  const authority = await makeAuthority(await temporaryDirectory(t))
  const registry = await startFakeRegistry(t, { tls: await authority.issue('127.0.0.1') })
  const statusOf = (): Promise<number | string | undefined> =>
    new Promise((resolve) => {
      get(`${registry.origin}/v2/`, { ca: authority.cert, agent: false }, (res) => resolve(res.resume().statusCode)).on(
        'error',
        (error: NodeJS.ErrnoException) => resolve(error.code),
      )
    })
  assert.equal(await statusOf(), 200)
  const fault = registry.alertHandshakes()
  assert.match(String(await statusOf()), /^(?:ERR_SSL_.*ALERT_INTERNAL_ERROR|EPROTO)$/)
  assert.equal(fault.hits, 1)
  fault.remove()
  assert.equal(await statusOf(), 200)
})

test('switches of names: look-ups fail, or hang until that is over; of one name or of all', async () => {
  const names = new FakeNames()
  const home = [{ address: '127.0.0.1', family: 4 }]
  const failing = names.fail('bad.example')
  await assert.rejects(names.resolve('bad.example'), { code: 'EAI_AGAIN' })
  assert.deepEqual(await names.resolve('good.example'), home)
  failing.remove()
  const hanging = names.hang()
  const hung = assert.rejects(names.resolve('good.example'), { code: 'ETIMEOUT' })
  assert.equal(hanging.hits, 1)
  hanging.remove()
  await hung
  assert.deepEqual(await names.resolve('good.example'), home)
  assert.deepEqual(names.asked, ['bad.example', 'good.example', 'good.example', 'good.example'])
})

test('nobody listens at a dead origin', async () => {
  await assert.rejects(fetch(await deadOrigin()), (error: Error) => (error.cause as NodeJS.ErrnoException).code === 'ECONNREFUSED')
})

test('the clock of the matrix runs at the pace it is told, and never back', async (t) => {
  const awake = setInterval(() => {}, 1000) // sleepers do not keep a process alive
  t.after(() => clearInterval(awake))
  const clock = new PacedClock()
  const marks = [clock.monotonic()]
  for (const pace of [1000, 1, 25]) {
    clock.run(pace)
    marks.push(clock.monotonic())
    assert.equal(await clock.sleep(5), true)
    marks.push(clock.monotonic())
  }
  assert.deepEqual(
    [...marks].sort((a, b) => a - b),
    marks,
  )
  assert.equal(await clock.sleep(1_000_000, AbortSignal.abort()), false)
  clock.run(1)
  const slept = clock.sleep(1_000_000)
  clock.run(1_000_000_000)
  assert.equal(await slept, true, 'who sleeps already wakes sooner, too')
})

test('the check of stores finds whatever is wrong in one', async (t) => {
  const store = await temporaryDirectory(t)
  const manifest = Buffer.from('{}')
  const digest = digestOf(manifest)
  const name = (content: string): string => digestHex(digestOf(Buffer.from(content)))
  for (const directory of ['blobs', 'img', 'refs', 'quarantine']) await mkdir(join(store, directory))
  const put = (path: string, content: string): Promise<void> => writeFile(join(store, path), content)
  await put(`blobs/${name('right')}`, 'right')
  await put(`img/${digestHex(digest)}`, JSON.stringify({ bytes: manifest.toString('base64') }))
  await put(`refs/${name('a/b:1')}`, JSON.stringify({ reference: 'a/b:1', digest }))
  const pullable = new Set<string>([digest, digestOf(Buffer.from('right')), digestOf(Buffer.from('wrong'))])
  assert.deepEqual(await faultsOfStore(store, pullable), [])

  await put(`blobs/${name('wrong')}`, 'other')
  await put(`blobs/${name('foreign')}`, 'foreign')
  await put(`img/${name('wrong')}`, JSON.stringify({ bytes: manifest.toString('base64') }))
  await put(`refs/${name('a/b:2')}`, JSON.stringify({ reference: 'a/b:3', digest: 'sha256:0' }))
  await put('quarantine/x', '')
  await put('blobs/.tmp-1', '')
  assert.deepEqual((await faultsOfStore(store, pullable)).sort(), [
    `blobs/${name('foreign')} was never to be had`,
    `blobs/${name('wrong')} hashes to ${name('other')}`,
    `img/${name('wrong')} holds ${digestHex(digest)}`,
    'quarantine/x: something damaged had been stored',
    `refs/${name('a/b:2')} is for a/b:3`,
    `refs/${name('a/b:2')} points at sha256:0, of which there is no record`,
  ])
  assert.deepEqual(await leftoversOfStore(store), ['.tmp-1'])
})
