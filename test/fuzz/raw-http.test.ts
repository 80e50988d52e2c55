/** Bytes on a socket: the server answers each request with less than 500, ends what it cannot read, and goes on. */
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { entry, startServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { fuzz } from './fuzz.ts'

const ends: (() => unknown)[] = []
after(async () => {
  for (const end of ends.reverse()) await end()
})
const t = { after: (end: () => unknown) => void ends.push(end) }

const hub = await startFakeRegistry(t)
const { digest, layers } = hub.addImage('library/alpine', '3')
const server = await startServer(t, { registries: [entry(hub, 'docker.io')], allowUnconfigured: false })

const requests = [
  'GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n',
  'GET /v2/library/alpine/manifests/3?ns=docker.io HTTP/1.1\r\nhost: x\r\naccept: application/vnd.oci.image.index.v1+json, */*\r\n\r\n',
  `HEAD /v2/library/alpine/manifests/${digest} HTTP/1.1\r\nhost: x\r\nif-none-match: "${digest}"\r\n\r\n`,
  `GET /v2/library/alpine/blobs/${layers[0]} HTTP/1.1\r\nhost: x\r\nrange: bytes=0-9\r\nif-range: "${layers[0]}"\r\n\r\n`,
  'GET /docker.io/v2/library/alpine/tags/list?n=1&last=2 HTTP/1.1\r\nhost: x\r\nx-registry: docker.io\r\n\r\n',
  `GET /v2/library/alpine/referrers/${digest}?artifactType=x HTTP/1.1\r\nhost: x\r\ncache-control: only-if-cached\r\n\r\n`,
  'POST /v2/library/alpine/blobs/uploads/ HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\nhello',
  'PUT /v2/a/manifests/1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'GET /v2/ HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n',
]
const words = [
  '\r\n',
  '\n',
  ' ',
  ':',
  '\r\n\r\n',
  'GET ',
  'HTTP/1.1',
  'host: y\r\n',
  'range: bytes=',
  'content-length: 3\r\n',
  'transfer-encoding: chunked\r\n',
  'connection: close\r\n',
  '0\r\n\r\n',
  'via: 1.1 x\r\n',
  'CONNECT x:1',
  '?ns=',
  '%00',
]

fuzz('Every request gets an answer below 500, or the connection ends', { samples: requests, words, runs: 400 }, async (text) => {
  const connection = await server.connect()
  connection.write(Buffer.from(text, 'latin1'))
  connection.end()
  const { bytes } = await connection.rest()
  connection.close()
  const said = bytes.toString('latin1')
  assert.match(said, /^(?:$|HTTP\/1\.1 [1-4]\d\d )/)
  for (const [, status] of said.matchAll(/(?:^|\r\n|\})HTTP\/1\.1 (\d{3}) /g))
    assert(Number(status) < 500, `${status} in ${said.slice(0, 300)}`)
  const bugs = server.log.lines.filter(({ level, message }) => level === 'error' || message.startsWith('bug'))
  assert.deepEqual(bugs, [])
})

fuzz('What was sent before leaves nothing behind, and the server serves', { samples: requests, words, runs: 1 }, async () => {
  assert.equal((await server.get('/v2/library/alpine/manifests/3')).status, 200)
  await until(() => server.buffers.lent === 0, 'every buffer is back')
})
