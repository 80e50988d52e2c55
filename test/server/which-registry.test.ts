import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OciError } from '../../src/oci/error.ts'
import { parseRegistry, type Registry } from '../../src/oci/name.ts'
import { type RegistryNames, type RegistryRequest, whichRegistry } from '../../src/server/which-registry.ts'

/** docker.io, `mirror.corp:5000` with the aliases `corp` and `old.corp`, and `localhost:5000`; everything else is not configured. */
function names(defaultNs = 'docker.io'): RegistryNames {
  const corp = parseRegistry('mirror.corp:5000')
  const local = parseRegistry('localhost:5000')
  const entries: [string, Registry][] = [
    ['docker.io', parseRegistry('docker.io')],
    ['mirror.corp:5000', corp],
    ['corp', corp],
    ['old.corp', corp],
    ['localhost:5000', local],
  ]
  const configured = new Map(entries)
  return { configured, defaultNs: configured.get(defaultNs) ?? parseRegistry(defaultNs) }
}

type Given = { ns?: string; prefix?: string; header?: string; path: string; defaultNs?: string }

function decide({ ns, prefix, header, path, defaultNs }: Given): string {
  const request: RegistryRequest = { ns, prefix, header, name: path === '' ? [] : path.split('/') }
  const { registry, repository } = whichRegistry(request, names(defaultNs))
  return `${registry} ${repository}`
}

const cases: [given: Given, want: string][] = [
  // shape 1: ns alone
  [{ ns: 'docker.io', path: 'library/alpine' }, 'docker.io library/alpine'],
  [{ ns: 'quay.io', path: 'a/b' }, 'quay.io a/b'],
  [{ ns: 'QUAY.io', path: 'a/b' }, 'quay.io a/b'],
  [{ ns: 'reg.example:5000', path: 'a' }, 'reg.example:5000 a'],
  [{ ns: 'mirror.corp:5000', path: 'a' }, 'mirror.corp:5000 a'],
  [{ ns: 'corp', path: 'a' }, 'mirror.corp:5000 a'],
  [{ ns: 'Old.Corp', path: 'a' }, 'mirror.corp:5000 a'],
  [{ ns: '[::1]:5000', path: 'a' }, '[::1]:5000 a'],
  [{ ns: 'localhost', path: 'a' }, 'localhost a'],
  // Docker Hub's names are one registry (regclient sends registry-1.docker.io), and its official images have a library/
  [{ ns: 'registry-1.docker.io', path: 'library/alpine' }, 'docker.io library/alpine'],
  [{ ns: 'index.docker.io', path: 'library/alpine' }, 'docker.io library/alpine'],
  [{ ns: 'registry.hub.docker.com', path: 'library/alpine' }, 'docker.io library/alpine'],
  [{ ns: 'registry-1.docker.io', path: 'alpine' }, 'docker.io library/alpine'],
  [{ path: 'docker.io/alpine' }, 'docker.io library/alpine'],
  [{ path: 'Index.Docker.IO/alpine' }, 'docker.io library/alpine'],
  [{ ns: 'quay.io', path: 'alpine' }, 'quay.io alpine'],
  // shape 2: the host is the first segment
  [{ path: 'docker.io/library/alpine' }, 'docker.io library/alpine'],
  [{ path: 'quay.io/a/b' }, 'quay.io a/b'],
  [{ path: 'reg.example:5000/a' }, 'reg.example:5000 a'],
  [{ path: 'localhost:5000/a' }, 'localhost:5000 a'],
  [{ path: '127.0.0.1:5000/a' }, '127.0.0.1:5000 a'],
  [{ path: 'corp/a/b' }, 'mirror.corp:5000 a/b'],
  [{ path: 'CORP/a/b' }, 'mirror.corp:5000 a/b'],
  [{ path: 'old.corp/a/b' }, 'mirror.corp:5000 a/b'],
  // ... where it can only be a host
  [{ path: 'library/alpine' }, 'docker.io library/alpine'],
  [{ path: 'localhost/alpine' }, 'docker.io localhost/alpine'],
  [{ path: 'corp' }, 'docker.io library/corp'],
  [{ path: 'library.dotted' }, 'docker.io library/library.dotted'],
  [{ path: 'quay.io' }, 'docker.io library/quay.io'],
  [{ path: 'a__b.c/d' }, 'docker.io a__b.c/d'],
  // shape 3: both; the segment is stripped once, and only if it is that host
  [{ ns: 'docker.io', path: 'docker.io/library/alpine' }, 'docker.io library/alpine'],
  [{ ns: 'docker.io', path: 'index.docker.io/alpine' }, 'docker.io library/alpine'],
  [{ ns: 'registry-1.docker.io', path: 'docker.io/library/alpine' }, 'docker.io library/alpine'],
  [{ ns: 'corp', path: 'mirror.corp:5000/a' }, 'mirror.corp:5000 a'],
  [{ ns: 'mirror.corp:5000', path: 'old.corp/a' }, 'mirror.corp:5000 a'],
  [{ ns: 'quay.io', path: 'quay.io/quay.io/a' }, 'quay.io quay.io/a'],
  [{ ns: 'docker.io', path: 'quay.io/a/b' }, 'docker.io quay.io/a/b'],
  [{ ns: 'quay.io', path: 'corp/a' }, 'quay.io corp/a'],
  [{ ns: 'quay.io', path: 'quay.io' }, 'quay.io quay.io'],
  // shape 4: a prefix, with or without ns
  [{ prefix: 'docker.io', path: 'library/alpine' }, 'docker.io library/alpine'],
  [{ prefix: 'docker.io', path: 'alpine' }, 'docker.io library/alpine'],
  [{ prefix: 'registry-1.docker.io', path: 'alpine' }, 'docker.io library/alpine'],
  [{ prefix: 'quay.io', path: 'a' }, 'quay.io a'],
  [{ prefix: 'corp', path: 'a' }, 'mirror.corp:5000 a'],
  [{ prefix: 'Corp', path: 'a' }, 'mirror.corp:5000 a'],
  [{ prefix: 'reg.example:5000', path: 'a' }, 'reg.example:5000 a'],
  [{ prefix: 'docker.io', ns: 'registry-1.docker.io', path: 'alpine' }, 'docker.io library/alpine'],
  [{ prefix: 'corp', ns: 'old.corp', path: 'a' }, 'mirror.corp:5000 a'],
  [{ prefix: 'quay.io', ns: 'quay.io', path: 'quay.io/a' }, 'quay.io a'],
  [{ prefix: 'docker.io', path: 'quay.io/a/b' }, 'quay.io a/b'], // a first segment that is a host comes first
  // shape 5: nothing names it
  [{ path: 'alpine' }, 'docker.io library/alpine'],
  [{ path: 'a/b/c/d/e/f' }, 'docker.io a/b/c/d/e/f'],
  [{ path: 'alpine', defaultNs: 'quay.io' }, 'quay.io alpine'],
  [{ path: 'a/b', defaultNs: 'old.corp' }, 'mirror.corp:5000 a/b'],
  [{ path: 'docker.io/alpine', defaultNs: 'quay.io' }, 'docker.io library/alpine'],
  [{ path: 'library/alpine', defaultNs: 'index.docker.io' }, 'docker.io library/alpine'],
  // X-Registry: behind the path, before the default
  [{ header: 'quay.io', path: 'a/b' }, 'quay.io a/b'],
  [{ header: 'registry-1.docker.io', path: 'alpine', defaultNs: 'quay.io' }, 'docker.io library/alpine'],
  [{ header: 'corp', path: 'a' }, 'mirror.corp:5000 a'],
  [{ header: 'quay.io', path: 'corp/a' }, 'mirror.corp:5000 a'],
  [{ header: 'quay.io', prefix: 'corp', path: 'a' }, 'mirror.corp:5000 a'],
  [{ header: 'quay.io', ns: 'corp', path: 'a' }, 'mirror.corp:5000 a'],
  [{ header: 'quay.io', path: 'quay.io' }, 'quay.io quay.io'],
  [{ header: '!', ns: 'quay.io', path: 'a' }, 'quay.io a'], // not looked at
  // depth is arbitrary, and words of the API are names like any other
  ...[1, 2, 3, 4, 5, 6].map((depth): [Given, string] => {
    const repository = Array.from({ length: depth }, (_, i) => `s${i}`).join('/')
    return [{ path: `quay.io/${repository}` }, `quay.io ${repository}`]
  }),
  [{ ns: 'quay.io', path: 'v2/manifests/blobs/tags/list' }, 'quay.io v2/manifests/blobs/tags/list'],
]

for (const [given, want] of cases) {
  test(`registry of ${JSON.stringify(given)}`, () => assert.equal(decide(given), want))
}

const refused: [given: Given, status: number, code: string][] = [
  // a prefix that contradicts ns, or is no host
  [{ prefix: 'quay.io', ns: 'docker.io', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ prefix: 'docker.io', ns: 'corp', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ prefix: 'mirror', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ prefix: '', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ prefix: '..', path: 'a' }, 404, 'NAME_UNKNOWN'],
  // ns and X-Registry that are no host
  [{ ns: 'no host', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: 'a/b', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: 'https://quay.io', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: 'user@quay.io', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: 'quay.io:0', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: 'quay.io:65536', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: '127.1', path: 'a' }, 404, 'NAME_UNKNOWN'], // 127.0.0.1 in disguise
  [{ ns: '0x7f000001', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: '2130706433', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: 'quay.io\r\nx: y', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: 'quay.io\n', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: '\0', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ ns: `${'a'.repeat(300)}.io`, path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ header: 'no host', path: 'a' }, 404, 'NAME_UNKNOWN'],
  [{ header: 'quay.io, quay.io', path: 'a' }, 404, 'NAME_UNKNOWN'],
  // repositories that are none
  [{ path: '' }, 400, 'NAME_INVALID'],
  [{ ns: 'quay.io', path: '' }, 400, 'NAME_INVALID'],
  [{ path: '..' }, 400, 'NAME_INVALID'],
  [{ path: '../../etc/passwd' }, 400, 'NAME_INVALID'],
  [{ path: 'a/../b' }, 400, 'NAME_INVALID'],
  [{ path: './a' }, 400, 'NAME_INVALID'],
  [{ path: '/a' }, 400, 'NAME_INVALID'],
  [{ path: 'a/' }, 400, 'NAME_INVALID'],
  [{ path: 'a//b' }, 400, 'NAME_INVALID'],
  [{ path: 'quay.io/' }, 400, 'NAME_INVALID'],
  [{ path: 'A/b' }, 400, 'NAME_INVALID'],
  [{ path: '-a' }, 400, 'NAME_INVALID'],
  [{ path: 'a..b' }, 400, 'NAME_INVALID'],
  [{ path: 'a._b' }, 400, 'NAME_INVALID'],
  [{ path: 'a\0b' }, 400, 'NAME_INVALID'],
  [{ path: 'a\n' }, 400, 'NAME_INVALID'],
  [{ path: 'a:b/c' }, 400, 'NAME_INVALID'], // neither a host (no port) nor a name
  [{ path: 'quay.io:x/c' }, 400, 'NAME_INVALID'],
  [{ path: `a/${'b'.repeat(254)}` }, 400, 'NAME_INVALID'],
  [{ path: 'b'.repeat(250) }, 400, 'NAME_INVALID'], // with its library/ it is too long
]

for (const [given, status, code] of refused) {
  test(`registry of ${JSON.stringify(given).slice(0, 100)}: ${status} ${code}`, () => {
    assert.throws(
      () => decide(given),
      (error) => {
        assert(error instanceof OciError)
        assert.deepEqual([error.status, error.code], [status, code])
        assert(error.message.length < 300, 'a message repeats no more than a part of what it was sent')
        return true
      },
    )
  })
}
