/** The admin API over a running service: who is let in, what there is, and what is refused. */
import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ADMIN_ROUTES } from '../../../src/server/admin/routes.ts'
import { lockHolder } from '../../../src/store/lock.ts'
import { freePort } from '../../e2e/support/ports.ts'
import { startFakeRegistry } from '../../support/fake-registry.ts'
import { temporaryDirectory } from '../../support/files.ts'
import { RawConnection } from '../../support/raw-http.ts'
import { entry } from '../../support/server.ts'
import { get, serve } from '../../support/service.ts'
import { askAt, layAdmin, messageOf } from './support.ts'

const TOKEN = 'a-token-long-enough'
const FORWARDED = { 'x-forwarded-for': '10.0.0.7' }

async function withToken(t: TestContext) {
  const tokenFile = join(await temporaryDirectory(t), 'token')
  await writeFile(tokenFile, `${TOKEN}\n`)
  return { tokenFile, ground: await layAdmin(t, { admin: { tokenFile, port: 0 } }) }
}

const bearer = (token: string) => ({ ...FORWARDED, authorization: `Bearer ${token}` })

test('The admin API answers this host, and nobody else without a token', async (t) => {
  const { ask, service } = await layAdmin(t)
  assert.equal((await ask('/cmd/status')).status, 200)
  assert.equal((await ask('/cmd/status', { headers: { host: `localhost:${service.port}` } })).status, 200)
  const others = [
    FORWARDED,
    { via: '1.1 x' },
    { forwarded: 'for=x' },
    { host: 'rebound.example' },
    { authorization: 'Bearer x', ...FORWARDED },
  ]
  for (const headers of others) {
    const refused = await ask('/cmd/status', { headers })
    assert.equal(refused.status, 403, JSON.stringify(headers))
    assert.equal(refused.header('www-authenticate'), undefined)
    assert.equal(refused.header('cache-control'), 'no-store')
    assert.ok(messageOf(refused).includes(`http://127.0.0.1:${service.port}/cmd/…`))
    assert.ok(messageOf(refused).includes('admin.tokenFile'))
  }
})

test('A request with two Hosts is not from this host, whatever the first one says', async (t) => {
  const { service } = await layAdmin(t)
  const connection = await RawConnection.open(service.port)
  t.after(() => connection.close())
  connection.write('GET /cmd/status HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: rebound.example\r\n\r\n')
  assert.equal((await connection.response()).status, 403)
})

test('A request from another host is refused on every path, known or not', async (t) => {
  const address = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address
  if (address === undefined) return t.skip('privilege: this machine has no address but loopback')
  const { service } = await layAdmin(t, { host: '0.0.0.0' })
  for (const target of [...ADMIN_ROUTES.map(({ path }) => path), '/cmd/unknown', '/cmd/'])
    assert.equal((await askAt(service.port, { target, headers: { host: 'localhost' } }, address)).status, 403, target)
  assert.equal((await askAt(service.port, { target: '/v2/' }, address)).status, 200)
})

test('The right token lets in, a wrong one does not, and neither is logged', async (t) => {
  const { ground } = await withToken(t)
  assert.equal((await ground.ask('/cmd/status', { headers: bearer(TOKEN) })).status, 200)
  for (const token of ['wrong-token-long-enough', TOKEN.slice(1), `${TOKEN}x`]) {
    const refused = await ground.ask('/cmd/status', { headers: bearer(token) })
    assert.deepEqual([refused.status, refused.header('www-authenticate')], [401, 'Bearer'])
  }
  assert.equal((await ground.ask('/cmd/status', { headers: FORWARDED })).status, 401)
  assert.equal((await ground.ask('/cmd/status')).status, 200, 'this host needs none')
  assert.doesNotMatch(JSON.stringify(ground.service.log.lines), /token-long-enough/)
})

test('A token that is rotated counts at once; while its file is unusable nobody is let in by it, and the log says so once', async (t) => {
  const { tokenFile, ground } = await withToken(t)
  const statusWith = async (token: string) => (await ground.ask('/cmd/status', { headers: bearer(token) })).status
  assert.equal(await statusWith(TOKEN), 200)
  await writeFile(tokenFile, 'another-token-long-enough')
  assert.deepEqual([await statusWith(TOKEN), await statusWith('another-token-long-enough')], [401, 200])
  await writeFile(tokenFile, 'short')
  assert.deepEqual([await statusWith('short'), await statusWith('another-token-long-enough')], [401, 401])
  await rm(tokenFile)
  assert.deepEqual([await statusWith(TOKEN), await statusWith(TOKEN)], [401, 401])
  const told = ground.service.log.lines.filter(({ level }) => level === 'error').map(({ message }) => message)
  assert.deepEqual(told, Array(2).fill('nobody is let in by admin.tokenFile: it cannot be used'), 'too short, then missing')
  await writeFile(tokenFile, TOKEN)
  assert.equal(await statusWith(TOKEN), 200)
})

test('A page of another site is refused, with a token too, and OPTIONS gets no word of CORS', async (t) => {
  const { ground } = await withToken(t)
  const pages = [{ origin: 'https://evil.example' }, { referer: 'https://evil.example/' }, { 'sec-fetch-site': 'cross-site' }]
  for (const page of pages) {
    for (const headers of [page, { ...page, ...bearer(TOKEN) }]) {
      const refused = await ground.ask('/cmd/stop', { headers })
      assert.equal(refused.status, 403)
      assert.ok(!refused.headerLines.some(([name]) => name.startsWith('access-control-')))
    }
  }
  const preflight = await ground.ask('/cmd/prune', {
    method: 'OPTIONS',
    headers: { origin: 'https://evil.example', 'access-control-request-method': 'DELETE' },
  })
  assert.equal(preflight.status, 403)
  assert.ok(!preflight.headerLines.some(([name]) => name.startsWith('access-control-')))
  assert.equal((await ground.ask('/cmd/prune', { method: 'OPTIONS' })).status, 405)
})

test('Every path of the admin API knows its methods, and every answer is for now only', async (t) => {
  const { ask } = await layAdmin(t)
  for (const { path, methods } of ADMIN_ROUTES) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      if ((methods as readonly string[]).includes(method)) continue
      const refused = await ask(path, { method })
      assert.deepEqual([refused.status, refused.header('allow')], [405, methods.join(', ')], `${method} ${path}`)
      assert.equal(refused.header('cache-control'), 'no-store')
    }
  }
  for (const path of ['/cmd/', '/cmd/nothing', '/cmd/status/', '/cmd/Status', '/cmd//status', '/cmd/image', '/cmd/image/list/x'])
    assert.equal((await ask(path)).status, 404, path)
  const [whole, head] = [await ask('/cmd/manifest/list'), await ask('/cmd/manifest/list', { method: 'HEAD' })]
  assert.deepEqual([head.status, head.header('content-length'), head.body.byteLength], [200, whole.header('content-length'), 0])
  assert.equal(whole.header('cache-control'), 'no-store')
})

const bad: [method: string, target: string, names: string][] = [
  ['GET', '/cmd/status?x=1', '"x"'],
  ['GET', '/cmd/stop?force=true', '"force"'],
  ['GET', '/cmd/status?__proto__=1', '"__proto__"'],
  ['GET', '/cmd/manifest/list?count=many', 'count'],
  ['GET', '/cmd/manifest/list?count=', 'count'],
  ['GET', '/cmd/manifest/list?count=1.5', 'count'],
  ['GET', '/cmd/manifest/list?count=1e3', 'count'],
  ['GET', '/cmd/manifest/list?count=99999999999', 'count'],
  ['GET', '/cmd/manifest/list?count=1&count=2', 'count'],
  ['GET', '/cmd/manifest/list?pattern=(', 'pattern'],
  ['GET', '/cmd/manifest/list?pattern=a,%5B', 'pattern'],
  ['GET', '/cmd/manifest/list?pattern=,', 'pattern'],
  ['GET', '/cmd/manifest/list?pattern=(%3F%3Da)', 'pattern'],
  ['GET', '/cmd/manifest/list?digest=a', '"digest"'],
  ['GET', '/cmd/image/list?pattern=*', 'pattern'],
  ['GET', '/cmd/image/list?substr=a', '"substr"'],
  ['GET', '/cmd/blob/list?pattern=a', '"pattern"'],
  ['GET', '/cmd/blob/list?count=x', 'count'],
  ['GET', '/cmd/explain', 'ref'],
  ['GET', '/cmd/explain?ref=', 'ref'],
  ['GET', '/cmd/explain?ref=UPPER/x:1', 'ref'],
  ['GET', '/cmd/explain?ref=docker.io/x:bad%0Atag', 'ref'],
  ['GET', '/cmd/explain?ref=docker.io/x@sha256:12', 'ref'],
  ['GET', '/cmd/explain?ref=../../etc/passwd', 'ref'],
  ['GET', '/cmd/explain?ref=a&ref=b', 'ref'],
  ['DELETE', '/cmd/prune', 'type'],
  ['DELETE', '/cmd/prune?type=', 'type'],
  ['DELETE', '/cmd/prune?type=all', 'type'],
  ['DELETE', '/cmd/prune?type=created', 'dur'],
  ['DELETE', '/cmd/prune?type=created&dur=', 'dur'],
  ['DELETE', '/cmd/prune?type=accessed&dur=-1h', 'dur'],
  ['DELETE', '/cmd/prune?type=accessed&dur=30', 'dur'],
  ['DELETE', '/cmd/prune?type=accessed&dur=1d12h', 'dur'],
  ['DELETE', '/cmd/prune?type=pattern', 'expr'],
  ['DELETE', '/cmd/prune?type=pattern&expr=', 'expr'],
  ['DELETE', '/cmd/prune?type=pattern&expr=%5B', 'expr'],
  ['DELETE', '/cmd/prune?type=size', 'maxSize'],
  ['DELETE', '/cmd/prune?type=size&maxSize=big', 'maxSize'],
  ['DELETE', '/cmd/prune?type=orphans&keep=%5B', 'keep'],
  ['DELETE', '/cmd/prune?type=orphans&count=0', 'count'],
  ['DELETE', '/cmd/prune?type=orphans&count=-2', 'count'],
  ['DELETE', '/cmd/prune?type=orphans&dryRun=', 'dryRun'],
  ['DELETE', '/cmd/prune?type=orphans&dryRun=yes', 'dryRun'],
  ['DELETE', '/cmd/prune?type=orphans&dryrun=true', '"dryrun"'],
  ['DELETE', '/cmd/prune?type=orphans&dryRun=true&dryRun=false', 'dryRun'],
  ['POST', '/cmd/prefetch', 'body'],
  ['POST', '/cmd/prefetch?ref=', 'ref'],
  ['POST', '/cmd/prefetch?ref=alpine&ref=Bad', 'ref'],
  ['POST', '/cmd/prefetch?image=alpine', '"image"'],
]
test('A mistake in a request is 400 with one line that names the parameter, and nothing is done', async (t) => {
  const { ask, pruner, loads, service } = await layAdmin(t)
  for (const [method, target, names] of bad) {
    const refused = await ask(target, { method })
    assert.equal(refused.status, 400, `${method} ${target}`)
    const message = messageOf(refused)
    assert.ok(message.startsWith(`${names}:`), `${method} ${target}: ${message}`)
    assert.doesNotMatch(message, /\n/)
  }
  assert.deepEqual([pruner.asked, loads.asked], [[], []])
  assert.deepEqual(
    service.log.lines.filter(({ fields }) => fields.bug === true),
    [],
  )
})

const bodiless = ADMIN_ROUTES.filter(({ takesBody }) => takesBody !== true).flatMap(({ path, methods }) =>
  methods.filter((method) => method !== 'HEAD').map((method) => [method, path] as const),
)
test('A body where none is wanted is 400 and says where parameters go, and nothing is done', async (t) => {
  const { ask, pruner, loads, service } = await layAdmin(t)
  let isStopped = false
  service.stopRequested.then(() => {
    isStopped = true
  })
  const prefetch = ['POST', '/cmd/prefetch?ref=alpine:3'] as const
  for (const [method, target] of [...bodiless, prefetch]) {
    const refused = await ask(target, { method, body: 'type=orphans' })
    assert.equal(refused.status, 400, `${method} ${target}`)
    assert.match(messageOf(refused), target === prefetch[1] ? /^body: .*beside ref/ : /^body: found one, want none: .* in the query/)
  }
  assert.deepEqual([pruner.asked, loads.asked, isStopped], [[], [], false])
})

const chunked = { 'transfer-encoding': 'chunked' }
const announced: [what: string, headers: Record<string, string>, body: string, status: number][] = [
  ['nothing', {}, '', 200],
  ['content-length: 0', { 'content-length': '0' }, '', 200],
  ['no chunk', chunked, '0\r\n\r\n', 200],
  ['a chunk', chunked, '1\r\nx\r\n0\r\n\r\n', 400],
  ['a byte', { 'content-length': '1' }, 'x', 400],
  ['a body that waits to be asked for', { 'content-length': '1', expect: '100-continue' }, '', 400],
]
for (const [what, headers, body, status] of announced) {
  test(`A prune that comes with ${what} is ${status}`, async (t) => {
    const { service, pruner } = await layAdmin(t)
    const connection = await RawConnection.open(service.port)
    t.after(() => connection.close())
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    connection.write(`POST /cmd/prune?type=orphans HTTP/1.1\r\nhost: localhost\r\n${lines.join('')}\r\n${body}`)
    assert.equal((await connection.response()).status, status)
    assert.equal(pruner.asked.length, status === 200 ? 1 : 0)
  })
}

test('On a port of its own the admin API is not on the port of pulls, which says where it is', async (t) => {
  const port = await freePort()
  const { ask, service } = await layAdmin(t, { admin: { tokenFile: undefined, port } })
  const refused = await ask('/cmd/status')
  assert.deepEqual([refused.status, messageOf(refused)], [404, `the admin API is on port ${port}`])
  assert.equal((await askAt(port, { target: '/cmd/status' })).status, 200)
  for (const target of ['/v2/', '/health', '/']) assert.equal((await askAt(port, { target })).status, 404, target)
  assert.ok(service.log.lines.some(({ level, message }) => level === 'info' && message === 'GET /cmd/status'))
  await service.stop()
  await assert.rejects(askAt(port, { target: '/' }), { code: 'ECONNREFUSED' })
})

test('The admin API may share the port of /health, or have the number of the port of pulls', async (t) => {
  const [side, pulls] = [await freePort(), await freePort()]
  await layAdmin(t, { health: side, admin: { tokenFile: undefined, port: side } })
  for (const target of ['/cmd/status', '/health']) assert.equal((await askAt(side, { target })).status, 200, target)
  await layAdmin(t, { port: pulls, admin: { tokenFile: undefined, port: pulls } })
  for (const target of ['/cmd/status', '/v2/']) assert.equal((await askAt(pulls, { target })).status, 200, target)
})

test('A registry with the alias cmd is pulled from as any other', async (t) => {
  const hub = await startFakeRegistry(t)
  const { bytes } = hub.addImage('app', '1')
  const { ask } = await layAdmin(t, { registries: [entry(hub, 'quay.io', 'cmd')] })
  for (const target of ['/cmd/v2/app/manifests/1', '/v2/cmd/app/manifests/1']) assert.ok((await ask(target)).body.equals(bytes), target)
  assert.equal((await ask('/cmd/status')).status, 200)
})

test('A request to stop is answered, and asks for the end of the service; HEAD does not', async (t) => {
  for (const method of ['GET', 'POST']) {
    const { ask, service } = await layAdmin(t)
    let requested = false
    service.stopRequested.then(() => {
      requested = true
    })
    assert.equal((await ask('/cmd/stop', { method: 'HEAD' })).status, 405)
    assert.equal(requested, false)
    const answer = await ask('/cmd/stop', { method })
    assert.deepEqual([answer.status, answer.body.byteLength], [200, 0])
    await service.stopRequested
    await service.stop()
  }
})

test('Who is locked out of the store learns where the admin API of its holder is', async (t) => {
  const [own, imagePath, other] = [await freePort(), await temporaryDirectory(t), await temporaryDirectory(t)]
  const service = await serve(t, { imagePath })
  await serve(t, { imagePath: other, admin: { tokenFile: undefined, port: own } })
  const adminOf = async (path: string) => {
    const holder = await lockHolder(path)
    return typeof holder === 'object' ? holder.admin : holder
  }
  assert.equal(await adminOf(imagePath), `http://127.0.0.1:${service.port}`)
  assert.equal(await adminOf(other), `http://127.0.0.1:${own}`)
  assert.equal((await get(service, '/cmd/status')).status, 200)
})
