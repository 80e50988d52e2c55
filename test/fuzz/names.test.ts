/** References, names of images, globs and targets of requests: refused in one line, or read as what they say. */
import assert from 'node:assert/strict'
import { isDigest, parseDigest } from '../../src/oci/digest.ts'
import { parseImageList } from '../../src/oci/image-list.ts'
import { formatImageName, parseImageName } from '../../src/oci/image-name.ts'
import { asRegistry, parseRegistry, parseRepositoryOf } from '../../src/oci/name.ts'
import { formatPlatform, parsePlatform } from '../../src/oci/platform.ts'
import { formatReference, parseReference } from '../../src/oci/reference.ts'
import { matchesGlob, parseReferenceGlob, parseRepositoryGlob } from '../../src/oci/reference-glob.ts'
import { asDockerKey, asRegistryPrefix } from '../../src/oci/registry-prefix.ts'
import { parseTarget } from '../../src/server/request-target.ts'
import { findRoute } from '../../src/server/route.ts'
import { whichRegistry } from '../../src/server/which-registry.ts'
import { fuzz, tried } from './fuzz.ts'

const HEX = '0123456789abcdef'.repeat(4)
const samples = [
  'docker.io/library/alpine:3',
  'alpine',
  'alpine:3.20',
  'quay.io/org/team/app@sha256:'.concat(HEX),
  `registry.example:5000/a__b/c---d:latest@sha256:${HEX}`,
  '[::1]:5000/x/y:1',
  'localhost/x',
  '127.0.0.1:8080/docker.io/library/alpine:3',
  `ghcr.io/x/y@sha512:${HEX}${HEX}`,
]
const words = [
  ':',
  '@',
  '/',
  '//',
  '.',
  '..',
  '-',
  '_',
  'sha256:',
  'sha512:',
  '[',
  ']',
  '::',
  'docker.io/',
  'library/',
  'xn--',
  '0x7f.1',
  ' ',
  '#',
  '*',
  '**',
]

fuzz('A reference is refused as one, or comes back as it was read', { samples, words, runs: 20_000 }, (text) => {
  const reference = tried(() => parseReference(text), 'OciError')
  if (reference !== undefined) assert.deepEqual(parseReference(formatReference(reference)), reference)
})

fuzz('The name of an image is refused in a line, or comes back as it was read', { samples, words, runs: 20_000 }, (text) => {
  const image = tried(() => parseImageName(text), 'OciError')
  if (image === undefined) return
  const name = formatImageName(image)
  assert.equal(formatImageName(parseImageName(name)), name)
  assert.deepEqual(parseReference(formatReference(image.reference)), image.reference)
})

fuzz(
  'Names, digests, platforms and prefixes are refused, or are what they say',
  { samples: [...samples, 'linux/arm/v7', `sha256:${HEX}`], words, runs: 20_000 },
  (text) => {
    const registry = asRegistry(text)
    if (registry !== undefined) {
      assert.equal(asRegistry(registry), registry, 'the one spelling of a registry is its own')
      assert(URL.canParse(`http://${registry}/`))
      tried(() => parseRepositoryOf(registry, text), 'OciError')
    }
    tried(() => parseRegistry(text), 'OciError')
    if (tried(() => parseDigest(text), 'OciError') !== undefined) assert(isDigest(text))
    const platform = parsePlatform(text)
    if (platform !== undefined) assert.deepEqual(parsePlatform(formatPlatform(platform)), platform)
    asRegistryPrefix(text)
    asDockerKey(text)
  },
)

const lists = [`# images\nalpine:3\n\nquay.io/org/app:1 linux/arm64\n${samples.join('\n')}\n`]
fuzz(
  'A list of images is read line by line, and every line says what it is',
  { samples: lists, words: [...words, '\n', '\r\n', '# '], runs: 3_000 },
  (text) => {
    const lines = text.split(/\r\n|\r|\n/).length
    for (const { line } of parseImageList(text)) assert(line >= 1 && line <= lines)
  },
)

const globs = ['docker.io/library/*:latest', '**:latest', 'quay.io/**', 'ghcr.io', '*/secret/**', 'registry.example:5000/a/*:v*']
fuzz('A glob is refused, or matches in a moment', { samples: globs, words, runs: 5_000 }, (text, random) => {
  const [byTag, byRepository] = [parseReferenceGlob(text), parseRepositoryGlob(text)]
  for (const glob of [byTag, byRepository]) {
    if (glob === undefined) continue
    assert.equal(matchesGlob(glob, glob.parts.map((part) => (part.startsWith('*') ? 'x' : part)).join('')), true)
    matchesGlob(glob, random.pick(samples))
  }
})

const targets = [
  '/v2/',
  '/v2/library/alpine/manifests/3?ns=docker.io',
  `/v2/a/b/blobs/sha256:${HEX}`,
  '/v2/a/tags/list?n=10&last=x',
  `/quay.io/v2/a/b/referrers/sha256:${HEX}?artifactType=a/b`,
  'http://x/v2/%61/manifests/1',
]
const names = { configured: new Map(), defaultNs: parseRegistry('docker.io') }
fuzz(
  'The target of a request is refused with 4xx, or names one registry and one repository',
  { samples: targets, words: [...words, '?', '&', 'ns=', '%2f', '/v2/', '/blobs/', '/manifests/'], runs: 20_000 },
  (text) => {
    tried(() => {
      const target = parseTarget(text)
      const route = findRoute(target.segments)
      if (!('name' in route)) return
      const { registry, repository } = whichRegistry(
        { ns: target.query.get('ns') ?? undefined, prefix: route.prefix, name: route.name, header: undefined },
        names,
      )
      assert.equal(asRegistry(registry), registry)
      assert.doesNotMatch(repository, /\.\.|[^a-z0-9._/-]/)
    }, 'OciError')
  },
)
