import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findRoute, type Route } from '../../src/server/route.ts'

const nowhere: Route = { kind: 'unknown', underV2: false }
const unknown: Route = { kind: 'unknown', underV2: true }
const manifest = (name: string, reference: string, prefix?: string): Route => ({
  kind: 'manifest',
  prefix,
  name: name === '' ? [] : name.split('/'),
  reference,
})
const blob = (name: string, reference: string, prefix?: string): Route => ({ kind: 'blob', prefix, name: name.split('/'), reference })
const referrers = (name: string, reference: string, prefix?: string): Route => ({
  kind: 'referrers',
  prefix,
  name: name.split('/'),
  reference,
})
const tags = (name: string, prefix?: string): Route => ({ kind: 'tags', prefix, name: name === '' ? [] : name.split('/') })

const cases: [path: string, want: Route][] = [
  ['/', { kind: 'root' }],
  // With and without the slash, with and without a prefix
  ['/v2/', { kind: 'ping' }],
  ['/v2', { kind: 'ping' }],
  ['/docker.io/v2/', { kind: 'ping' }],
  ['/docker.io/v2', { kind: 'ping' }],
  // what the five shapes leave for `which-registry.ts`
  ['/v2/library/alpine/manifests/3', manifest('library/alpine', '3')],
  ['/v2/docker.io/library/alpine/manifests/3', manifest('docker.io/library/alpine', '3')],
  ['/docker.io/v2/library/alpine/manifests/3', manifest('library/alpine', '3', 'docker.io')],
  ['/v2/alpine/blobs/sha256:00', blob('alpine', 'sha256:00')],
  ['/quay.io/v2/a/b/blobs/sha256:00', blob('a/b', 'sha256:00', 'quay.io')],
  ['/v2/a/b/c/d/e/f/manifests/1', manifest('a/b/c/d/e/f', '1')],
  ['/v2/a/referrers/sha256:00', referrers('a', 'sha256:00')],
  ['/quay.io/v2/a/referrers/sha256:00', referrers('a', 'sha256:00', 'quay.io')],
  ['/v2/a/tags/list', tags('a')],
  ['/quay.io/v2/a/tags/list', tags('a', 'quay.io')],
  // names are greedy
  ['/v2/manifests/manifests/manifests', manifest('manifests', 'manifests')],
  ['/v2/blobs/blobs/sha256:00', blob('blobs', 'sha256:00')],
  ['/v2/a/blobs/b/manifests/1', manifest('a/blobs/b', '1')],
  ['/v2/a/manifests/b/blobs/sha256:00', blob('a/manifests/b', 'sha256:00')],
  ['/v2/a/manifests/1/manifests/2', manifest('a/manifests/1', '2')],
  ['/v2/a/tags/list/tags/list', tags('a/tags/list')],
  ['/v2/a/tags/list/manifests/1', manifest('a/tags/list', '1')],
  ['/v2/tags/tags/list', tags('tags')],
  ['/v2/referrers/referrers/sha256:00', referrers('referrers', 'sha256:00')],
  ['/v2/v2/manifests/1', manifest('v2', '1')],
  ['/v2/v2/v2/manifests/v2', manifest('v2/v2', 'v2')],
  ['/v2/a/v2/b/manifests/1', manifest('a/v2/b', '1')],
  ['/docker.io/v2/v2/manifests/1', manifest('v2', '1', 'docker.io')],
  ['/v2/a/manifests/list', manifest('a', 'list')],
  ['/v2/a/manifests/tags', manifest('a', 'tags')],
  // a name that is missing or odd is for the grammar to refuse
  ['/v2/manifests/3', manifest('', '3')],
  ['/v2/tags/list', tags('')],
  ['/v2//alpine/manifests/3', manifest('/alpine', '3')],
  ['/v2/a//manifests/3', manifest('a/', '3')],
  ['/v2/../manifests/3', manifest('..', '3')],
  ['//v2/a/manifests/3', manifest('a', '3', '')],
  // nothing there
  ['/v2/a/manifests/', unknown],
  ['/v2/a/manifests', unknown],
  ['/v2/a/manifests/3/', unknown],
  ['/v2/a/tags/list/', unknown],
  ['/v2/a/tags', unknown],
  ['/v2/a/tags/other', unknown],
  ['/v2/a/Manifests/3', unknown],
  ['/v2/a/blobs/uploads/', unknown],
  ['/v2/a/blobs/uploads/1234', unknown],
  ['/v2/_catalog', unknown],
  ['/quay.io/v2/_catalog', unknown],
  ['/v2/a/constructor/x', unknown],
  ['/v2/a/__proto__/x', unknown],
  ['/v2/a', unknown],
  ['/v2//', unknown],
  ['/v1/_ping', nowhere],
  ['/v1', nowhere],
  ['/a/b/v2/', nowhere],
  ['/favicon.ico', nowhere],
  ['/V2/', nowhere],
  ['*', nowhere],
  ['//', nowhere],
]

for (const [path, want] of cases) {
  test(`route of ${path}`, () => assert.deepEqual(findRoute(path.replace(/^\//, '').split('/')), want))
}
