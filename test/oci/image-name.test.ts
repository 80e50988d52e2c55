import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OciError } from '../../src/oci/error.ts'
import { formatImageName, parseImageName } from '../../src/oci/image-name.ts'
import { parseRegistry } from '../../src/oci/name.ts'

const D = `sha256:${'a'.repeat(64)}`
const ALIASES = new Map([
  ['example', parseRegistry('registry.example:5000')],
  ['mirror.example', parseRegistry('docker.io')],
])

const names: [written: string, canonical: string, isByDigest?: boolean][] = [
  ['alpine', 'docker.io/library/alpine:latest'],
  ['alpine:3', 'docker.io/library/alpine:3'],
  ['library/alpine', 'docker.io/library/alpine:latest'],
  ['org/app:V1.0-rc', 'docker.io/org/app:V1.0-rc'],
  ['docker.io/x', 'docker.io/library/x:latest'],
  ['index.docker.io/x:1', 'docker.io/library/x:1'],
  ['registry-1.docker.io/library/x:1', 'docker.io/library/x:1'],
  ['quay.io/x/y:1', 'quay.io/x/y:1'],
  ['quay.io/x:1', 'quay.io/x:1'],
  ['QUAY.io/a/b/c/d/e:1', 'quay.io/a/b/c/d/e:1'],
  ['host:5000/x:1', 'host:5000/x:1'],
  ['host:5000', 'docker.io/library/host:5000'],
  ['localhost/x', 'localhost/x:latest'],
  ['localhost:5000/x', 'localhost:5000/x:latest'],
  ['[::1]:5000/x:1', '[::1]:5000/x:1'],
  [`x@${D}`, `docker.io/library/x@${D}`, true],
  [`x:1@${D}`, `docker.io/library/x:1@${D}`, true],
  [`host:5000/x:1@${D}`, `host:5000/x:1@${D}`, true],
  [`quay.io/x@sha512:${'b'.repeat(128)}`, `quay.io/x@sha512:${'b'.repeat(128)}`, true],
  ['example/app:1', 'registry.example:5000/app:1'],
  ['mirror.example/app:1', 'docker.io/library/app:1'],
  ['other/app:1', 'docker.io/other/app:1'],
]
for (const [written, canonical, isByDigest = false] of names) {
  test(`'${written}' in a list is ${canonical}`, () => {
    const name = parseImageName(written, ALIASES)
    assert.equal(formatImageName(name), canonical)
    assert.equal(name.reference.digest !== undefined, isByDigest)
    assert.deepEqual(parseImageName(canonical), name, 'the canonical spelling reads the same')
  })
}

const mistakes: [written: string, message: RegExp][] = [
  ['', /'' is not a repository name/],
  ['alpine:', /'' is not a tag/],
  ['alpine: 3', /' 3' is not a tag/],
  ['alpine:3 bash:4', /'3 bash:4' is not a tag/],
  ['Alpine', /'Alpine' is not a repository name: want lower-case/],
  ['quay.io/', /'' is not a repository name/],
  ['bad_host.io:x/y', /'bad_host.io:x' is not a registry: want host or host:port/],
  ['x@sha256:123', /'sha256:123' is not a digest/],
  ['x@', /'' is not a digest/],
  [`x:1@md5:${'a'.repeat(32)}`, /is not a digest/],
  ['https://quay.io/x/y:1', /'https:\/\/quay.io\/x\/y:1' is a URL: want a name such as quay.io\/org\/app:1/],
  ['docker://alpine', /is a URL/],
]
for (const [written, message] of mistakes) {
  test(`'${written}' in a list is a mistake that says what is wrong`, () => {
    assert.throws(
      () => parseImageName(written),
      (error) => error instanceof OciError && message.test(error.message),
    )
  })
}
