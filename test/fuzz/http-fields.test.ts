/** Header fields of clients and registries: nothing is thrown, and what is read holds. */
import assert from 'node:assert/strict'
import { parseChallenges } from '../../src/oci/challenge.ts'
import { ifRangeHolds, noneMatchHits } from '../../src/oci/conditional.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { decideRange, parseContentRange, totalOfUnsatisfied } from '../../src/oci/range.ts'
import { bearerOf, judgeAccess } from '../../src/server/admin/access.ts'
import { clientOf } from '../../src/server/clients.ts'
import { fuzz } from './fuzz.ts'

const ranges = ['bytes=0-99', 'bytes=100-', 'bytes=-5', 'bytes=0-1,5-9', 'bytes 0-9/100', 'bytes */100', 'bytes 5-9/*']
fuzz(
  'A Range is ignored, unsatisfiable, or within the blob',
  { samples: ranges, words: ['bytes', '=', '-', ',', '/', '*', ' '], runs: 50_000 },
  (text, random) => {
    const size = random.pick([0, 1, 10, 100, 2 ** 40, Number.MAX_SAFE_INTEGER])
    const range = decideRange(text, size)
    if (typeof range === 'object') assert(0 <= range.start && range.start <= range.end && range.end < size, JSON.stringify({ range, size }))
    const content = parseContentRange(text)
    if (content !== undefined) assert(content.start <= content.end && content.end < (content.total ?? Number.POSITIVE_INFINITY))
    totalOfUnsatisfied(text)
  },
)

const challenges = [
  'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
  'Basic realm="x"',
  'Bearer realm=https://a.example/t, Basic realm="y"',
  'NTLM TlRMTVNTUAAB=, Negotiate',
  'Bearer error="invalid_token", realm="a\\"b"',
]
fuzz(
  'A challenge is read as far as it makes sense',
  { samples: challenges, words: ['"', '\\', ',', '=', ' ', 'Bearer ', 'realm', '\t'], runs: 30_000 },
  (text) => {
    for (const { scheme, params } of parseChallenges(text)) {
      assert.equal(scheme, scheme.toLowerCase())
      for (const [name, value] of Object.entries(params)) assert.deepEqual([name, typeof value], [name.toLowerCase(), 'string'])
    }
  },
)

const digest = digestOf(Buffer.from('x'))
const fields = [
  `"${digest}"`,
  `W/"${digest}", "x"`,
  '*',
  'Bearer abc',
  'http://127.0.0.1:8080/cmd/status',
  '127.0.0.1:8080',
  'same-origin',
  'for=10.0.0.1',
  '2001:db8::1',
]
fuzz(
  'Conditions, credentials and origins are judged',
  { samples: fields, words: ['"', ',', 'W/', '*', digest, 'null', 'localhost', '::'], runs: 20_000 },
  (text) => {
    assert.equal(typeof noneMatchHits(text, digest), 'boolean')
    assert.equal(typeof ifRangeHolds(text, digest), 'boolean')
    bearerOf({ authorization: text })
    clientOf(text)
    const facts = (headers: Record<string, string>) => ({ remoteAddress: '10.0.0.7', localAddress: '10.0.0.1', headers, hosts: 1 })
    for (const name of ['host', 'origin', 'referer', 'sec-fetch-site', 'forwarded'])
      assert.notEqual(judgeAccess(facts({ host: 'x', [name]: text })), 'open', 'nothing that is said opens the admin API to another host')
  },
)
