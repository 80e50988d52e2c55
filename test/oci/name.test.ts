import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  asRegistry,
  DOCKER_HUB,
  isMachineryTag,
  looksLikeHost,
  parseRegistry,
  parseRepository,
  parseRepositoryOf,
  parseTag,
  spellingsOf,
} from '../../src/oci/name.ts'
import { forAll, type Random } from '../support/property.ts'

const registries: [text: string, want: string][] = [
  ['docker.io', 'docker.io'],
  ['index.docker.io', 'docker.io'],
  ['registry-1.docker.io', 'docker.io'], // regclient's `ns`
  ['registry.hub.docker.com', 'docker.io'],
  ['Index.Docker.IO', 'docker.io'],
  ['quay.io', 'quay.io'],
  ['QUAY.io', 'quay.io'],
  ['reg.example:5000', 'reg.example:5000'],
  ['Reg.Example:5000', 'reg.example:5000'],
  ['reg.example:1', 'reg.example:1'],
  ['reg.example:65535', 'reg.example:65535'],
  ['docker.io:5000', 'docker.io:5000'],
  ['localhost', 'localhost'],
  ['harbor', 'harbor'],
  ['a', 'a'],
  [`${'a.'.repeat(127)}a:65535`, `${'a.'.repeat(127)}a:65535`], // 255 characters and a port
  ['a--b.example', 'a--b.example'],
  ['xn--80ak6aa92e.com', 'xn--80ak6aa92e.com'],
  ['127.0.0.1:5000', '127.0.0.1:5000'],
  ['[::1]', '[::1]'],
  ['[::1]:5000', '[::1]:5000'],
  ['[2001:DB8::A]:5000', '[2001:db8::a]:5000'],
  ['[0:0:0:0:0:0:0:1]:5000', '[::1]:5000'],
  ['[::ffff:127.0.0.1]', '[::ffff:7f00:1]'],
]
for (const [text, want] of registries) {
  test(`'${text}' names the registry ${want}`, () => {
    assert.equal(parseRegistry(text), want)
    assert.equal(asRegistry(want), want, 'its name names itself')
  })
}

const noRegistries: [string, string][] = [
  ['nothing', ''],
  ['a dot', '.'],
  ['two dots', '..'],
  ['two encoded dots', '%2e%2e'],
  ['an encoded colon', 'reg.example%3A5000'],
  ['a leading dot', '.example'],
  ['a trailing dot', 'reg.example.'],
  ['an empty label', 'reg..example'],
  ['a label that starts with a dash', '-reg.example'],
  ['a label that ends with a dash', 'reg-.example'],
  ['an underscore', 'my_registry'],
  ['a slash', 'reg.example/x'],
  ['a scheme', 'https://reg.example'],
  ['a user', 'me@reg.example'],
  ['a query', 'reg.example?x'],
  ['a fragment', 'reg.example#x'],
  ['a backslash', 'reg\\example'],
  ['a blank before', ' reg.example'],
  ['a line break after', 'reg.example\n'],
  ['a NUL', 'reg\0.example'],
  ['an empty port', 'reg.example:'],
  ['port 0', 'reg.example:0'],
  ['port 65536', 'reg.example:65536'],
  ['a port of six digits', 'reg.example:100000'],
  ['a port with a leading zero, which would be a second name', 'reg.example:05000'],
  ['a port that is no number', 'reg.example:http'],
  ['two ports', 'reg.example:1:2'],
  ['IPv6 without brackets', '::1'],
  ['an open bracket', '[::1'],
  ['empty brackets', '[]'],
  ['brackets around no address', '[:::]'],
  ['brackets around dots', '[...]'],
  ['brackets around IPv4', '[127.0.0.1]'],
  ['an IPv6 zone', '[fe80::1%eth0]'],
  ['an IPv4 number above 255', '256.1.1.1'],
  ['five IPv4 numbers', '1.2.3.4.5'],
  ['a short IPv4 address', '127.1'],
  ['a hexadecimal IPv4 address', '0x7f.0.0.1'],
  ['an octal IPv4 address', '0177.0.0.1'],
  ['an IPv4 address in one number', '2130706433'],
  ['a letter that only lower-casing makes Latin', 'doc\u212aer.io'],
  ['an umlaut', 'r\u00e4gistry.example'],
  ['262 characters', `${'a.'.repeat(130)}aa`],
]
for (const [what, text] of noRegistries) {
  test(`No registry is made of ${what}`, () => {
    assert.equal(asRegistry(text), undefined)
    assert.throws(() => parseRegistry(text), { name: 'OciError', status: 400, code: 'NAME_INVALID' })
  })
}

test('An invalid international name is no registry, or as it is where Node takes it, so that it has one spelling', () => {
  assert.ok([undefined, 'xn--a.example'].includes(asRegistry('XN--a.example')))
})

const segments: [string, boolean][] = [
  ['docker.io', true],
  ['reg.example:5000', true],
  ['localhost:5000', true],
  ['[::1]:5000', true],
  ['127.0.0.1', true],
  ['library.dotted', true], // a legal component, and a host all the same
  ['library', false],
  ['localhost', false],
  ['a_b.c', false],
  ['v1.2', false], // no host ends in a number, but a component may
  ['1.2', false],
  ['.', false],
  ['..', false],
  ['a..b', false],
  ['sha256:x', false],
  ['', false],
]
for (const [segment, want] of segments) {
  test(`A path segment '${segment}' that nobody configured ${want ? 'can only be a host' : 'is no host'}`, () => {
    assert.equal(looksLikeHost(segment), want)
  })
}

const repositories = [
  'a',
  '0',
  'library/alpine',
  'a__b',
  'a_b',
  'a---b',
  'a.b_c',
  'a.b/c-d/e__f',
  'blobs/manifests/tags/list/v2',
  'docker.io/library/alpine',
  'very/deep/'.repeat(25) + 'x'.repeat(5),
]
for (const name of repositories) {
  test(`'${name.slice(0, 40)}' (${name.length} characters) is a repository`, () => assert.equal(parseRepository(name), name))
}

const noRepositories: [string, string][] = [
  ['nothing', ''],
  ['upper case', 'A'],
  ['upper case inside', 'library/Alpine'],
  ['two dots inside', 'a..b'],
  ['a dot before an underscore', 'a._b'],
  ['three underscores', 'a___b'],
  ['a dash before a dot', 'a-.b'],
  ['a leading dash', '-a'],
  ['a trailing dash', 'a-'],
  ['a leading dot', '.a'],
  ['a leading underscore', '_a'],
  ['a trailing underscore', 'a_'],
  ['a dot', '.'],
  ['two dots', '..'],
  ['a way up', '../a'],
  ['a way up inside', 'a/../b'],
  ['a dot inside', 'a/./b'],
  ['encoded dots', '%2e%2e/a'],
  ['an encoded slash', 'a%2Fb'],
  ['a leading slash', '/a'],
  ['a trailing slash', 'a/'],
  ['an empty component', 'a//b'],
  ['a backslash', 'a\\b'],
  ['a colon', 'host:5000/a'],
  ['an at sign', 'a@b'],
  ['a blank', 'a b'],
  ['a line break', 'a\n'],
  ['a NUL', 'a\0'],
  ['an umlaut', 'k\u00e4se'],
  ['256 characters', 'a'.repeat(256)],
]
for (const [what, text] of noRepositories) {
  test(`No repository is made of ${what}`, () => {
    assert.throws(() => parseRepository(text), { name: 'OciError', status: 400, code: 'NAME_INVALID' })
  })
}

test('A repository may have 255 characters', () => assert.equal(parseRepository('a'.repeat(255)).length, 255))

const officials: [registry: string, text: string, want: string][] = [
  ['docker.io', 'alpine', 'library/alpine'],
  ['docker.io', 'library/alpine', 'library/alpine'],
  ['docker.io', 'grafana/grafana', 'grafana/grafana'],
  ['docker.io', 'library', 'library/library'],
  ['registry-1.docker.io', 'alpine', 'library/alpine'],
  ['quay.io', 'alpine', 'alpine'],
  ['docker.io:5000', 'alpine', 'alpine'],
]
for (const [registry, text, want] of officials) {
  test(`'${text}' of ${registry} is the repository ${want}`, () => {
    assert.equal(parseRepositoryOf(parseRegistry(registry), text), want)
  })
}

test('An official image whose name has no room for library/ is refused', () => {
  assert.throws(() => parseRepositoryOf(DOCKER_HUB, 'a'.repeat(250)), { status: 400, code: 'NAME_INVALID' })
})

const tags = [
  'latest',
  '3',
  '3.20.1',
  '_',
  '_leading',
  '__',
  'A',
  'v1.0-rc.1_x',
  'a..b',
  'x.',
  'x-',
  '_'.repeat(128),
  `V${'9'.repeat(127)}`,
]
for (const tag of tags) {
  test(`'${tag.slice(0, 20)}' (${tag.length} characters) is a tag`, () => assert.equal(parseTag(tag), tag))
}

const noTags: [string, string][] = [
  ['nothing', ''],
  ['a dot', '.'],
  ['two dots', '..'],
  ['a leading dot', '.a'],
  ['a leading dash', '-a'],
  ['a slash', 'a/b'],
  ['a way up', '../a'],
  ['encoded dots', '%2e%2e'],
  ['an encoded slash', 'a%2Fb'],
  ['a colon', 'a:b'],
  ['an at sign', 'a@b'],
  ['a plus', '1.0+build'],
  ['a blank', 'a b'],
  ['a line break', 'a\n'],
  ['a NUL', 'a\0'],
  ['an umlaut', '\u00e4'],
  ['129 characters', 'a'.repeat(129)],
]
for (const [what, text] of noTags) {
  test(`No tag is made of ${what}`, () => {
    assert.throws(() => parseTag(text), { name: 'OciError', status: 400, code: 'MANIFEST_INVALID' })
  })
}

const hex = 'a'.repeat(64)
const machinery: [string, boolean][] = [
  [`sha256-${hex}`, true],
  [`sha256-${hex}.sig`, true],
  [`sha256-${hex}.att`, true],
  [`sha256-${hex}.sbom`, true],
  [`sha512-${hex}`, true], // the specification cuts the fallback tag at 64 digits
  [`sha256-${hex.slice(1)}`, false],
  [`sha256-${hex.toUpperCase()}`, false],
  [`x-sha256-${hex}`, false],
  ['sha256', false],
  ['latest', false],
]
for (const [tag, want] of machinery) {
  test(`The tag ${tag.slice(0, 12)}…${tag.slice(-8)} (${tag.length} characters) was made by ${want ? 'a tool' : 'people'}`, () => {
    assert.equal(isMachineryTag(parseTag(tag)), want)
  })
}

const CORP = ['corp.example', 'corp.example:443', 'corp.example:80']
const spellings: readonly (readonly [string, readonly string[]])[] = [
  ['corp.example', CORP],
  ['corp.example:443', CORP],
  ['CORP.example:80', CORP],
  ['corp.example:5000', ['corp.example:5000']],
  ['corp.example:10443', ['corp.example:10443']],
  ['[::1]', ['[::1]', '[::1]:443', '[::1]:80']],
  ['[::1]:443', ['[::1]', '[::1]:443', '[::1]:80']],
  ['[::443]', ['[::443]', '[::443]:443', '[::443]:80']],
]
for (const [name, want] of spellings) {
  test(`${name} is spelled ${want.join(', ')}`, () => {
    assert.deepEqual(spellingsOf(parseRegistry(name)), want)
  })
}

test('Docker Hub is spelled by all of its names, each of which leads to all others', () => {
  const all = spellingsOf(DOCKER_HUB)
  for (const name of ['docker.io', 'docker.io:443', 'index.docker.io:443', 'registry-1.docker.io:80', 'registry.hub.docker.com:443'])
    assert.ok(all.includes(parseRegistry(name)), name)
  for (const spelling of all) assert.deepEqual(spellingsOf(spelling), all)
})

test('A message quotes no more than the beginning of a bad name', () => {
  assert.throws(
    () => parseRepository('A'.repeat(10_000)),
    (error: Error) => error.message.length < 250,
  )
})

test('A name made to be slow for a careless expression is refused', () => {
  for (const text of ['a'.repeat(100_000), `${'a.'.repeat(127)}!`, `${'a-'.repeat(127)}!`, `${'a'.repeat(254)}!`]) {
    assert.throws(() => parseRepository(text))
    assert.throws(() => parseTag(text))
    assert.equal(asRegistry(text), undefined)
  }
})

test('A host name is read as a URL reads it', () => {
  const label = (random: Random) => (random.below(6) === 0 ? 'xn--a' : random.text('ab0x9n-', 1, 6))
  forAll(
    (random) => Array.from({ length: random.between(1, 3) }, () => label(random)).join('.'),
    (host) => {
      const registry = asRegistry(host)
      const asUrl = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : undefined
      if (registry !== undefined) assert.equal(registry, asUrl)
      else assert.ok(asUrl !== host || /(^|[.])-|-([.]|$)/.test(host), `${host} is a host, and was refused`)
    },
  )
})
