import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTarget } from '../../src/server/request-target.ts'

type Case = [target: string, rawPath: string, segments: string[], query?: Record<string, string>]

const cases: Case[] = [
  ['/', '/', ['']],
  ['/v2', '/v2', ['v2']],
  ['/v2/', '/v2/', ['v2', '']],
  ['/v2/library/alpine/manifests/3', '/v2/library/alpine/manifests/3', ['v2', 'library', 'alpine', 'manifests', '3']],
  ['/v2/a/manifests/1?ns=docker.io', '/v2/a/manifests/1', ['v2', 'a', 'manifests', '1'], { ns: 'docker.io' }],
  // containerd sends the port encoded, others as it is
  ['/v2/a/manifests/1?ns=reg.example%3A5000', '/v2/a/manifests/1', ['v2', 'a', 'manifests', '1'], { ns: 'reg.example:5000' }],
  ['/v2/a/manifests/1?ns=reg.example:5000', '/v2/a/manifests/1', ['v2', 'a', 'manifests', '1'], { ns: 'reg.example:5000' }],
  ['/v2/a/tags/list?n=2&last=x?y', '/v2/a/tags/list', ['v2', 'a', 'tags', 'list'], { n: '2', last: 'x?y' }],
  ['/v2/a/tags/list?', '/v2/a/tags/list', ['v2', 'a', 'tags', 'list']],
  ['/?', '/', ['']],
  // decoded once and no more
  ['/v2/a/blobs/sha256%3Aabc', '/v2/a/blobs/sha256%3Aabc', ['v2', 'a', 'blobs', 'sha256:abc']],
  ['/v2/a/blobs/%2541', '/v2/a/blobs/%2541', ['v2', 'a', 'blobs', '%41']],
  // nothing is normalised: the grammar of names has to see it
  ['/v2/../etc/manifests/1', '/v2/../etc/manifests/1', ['v2', '..', 'etc', 'manifests', '1']],
  ['/v2/%2e%2e/etc/manifests/1', '/v2/%2e%2e/etc/manifests/1', ['v2', '..', 'etc', 'manifests', '1']],
  ['/v2//a//manifests/1', '/v2//a//manifests/1', ['v2', '', 'a', '', 'manifests', '1']],
  ['/v2/a/manifests/1/', '/v2/a/manifests/1/', ['v2', 'a', 'manifests', '1', '']],
  ['//v2/', '//v2/', ['', 'v2', '']],
  ['/v2/a/manifests/%00', '/v2/a/manifests/%00', ['v2', 'a', 'manifests', '\0']],
  ['/v2/a/manifests/x%0d%0ay', '/v2/a/manifests/x%0d%0ay', ['v2', 'a', 'manifests', 'x\r\ny']],
  // absolute form (RFC 9112 3.2.2), as proxies send it
  ['http://cache.example:8080/v2/?ns=a.b', '/v2/', ['v2', ''], { ns: 'a.b' }],
  ['HTTPS://cache.example/v2', '/v2', ['v2']],
  ['http://cache.example', '', ['']],
  ['http://cache.example?x=1', '', [''], { x: '1' }],
  // a query is lenient: what it holds is checked where it is used
  ['/v2/?ns=%ff', '/v2/', ['v2', ''], { ns: '\ufffd' }],
  ['/v2/?ns=%', '/v2/', ['v2', ''], { ns: '%' }],
  ['*', '*', ['*']], // OPTIONS
]

for (const [target, rawPath, segments, query = {}] of cases) {
  test(`target ${target}`, () => {
    const parsed = parseTarget(target)
    assert.deepEqual(
      { rawPath: parsed.rawPath, segments: parsed.segments, query: Object.fromEntries(parsed.query.params) },
      { rawPath, segments, query },
    )
  })
}

const broken = [
  '/v2/a/manifests/%',
  '/v2/a/manifests/%2',
  '/v2/a/manifests/%zz',
  '/v2/%ff/manifests/1', // no UTF-8
  '/v2/%c0%ae%c0%ae/manifests/1', // overlong `..`
  '/v2/%ed%a0%80/manifests/1', // a lone surrogate
  '/v2/library%2falpine/manifests/3', // a slash that separates nothing: two readers would see two names
  '/v2/library%2Falpine/manifests/3',
  '/v2/a/manifests/..%2f..%2fetc',
]

for (const target of broken) {
  test(`target ${target} keeps a % that no grammar of names allows`, () => {
    const { segments } = parseTarget(target)
    assert.deepEqual(segments, target.slice(1).split('/'))
    assert(segments.some((segment) => segment.includes('%')))
  })
}
