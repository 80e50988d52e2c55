/** What must hold for every reference, tried on some thousand random ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestFromHash } from '../../src/oci/digest.ts'
import { OciError } from '../../src/oci/error.ts'
import { parseRegistry, type Registry } from '../../src/oci/name.ts'
import { formatReference, makeReference, parseReference, type Reference } from '../../src/oci/reference.ts'
import { forAll, type Random } from '../support/property.ts'

const ALPHANUMERIC = 'ab01'
const HUB_NAMES = ['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com']

const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)

function hostText(random: Random): string {
  const label = () => random.text('abxyz', 1, 2) + random.pick(['', '-', '--']) + random.text('abxyz', 1, 2)
  const host = random.pick([
    () => times(random.between(1, 3), label).join('.'),
    () => times(4, () => random.below(256)).join('.'),
    () => `[${times(8, () => random.below(65536).toString(16)).join(':')}]`,
    () => random.pick(['[::1]', '[fe80::1]', 'localhost', ...HUB_NAMES]),
  ])()
  return random.pick([host, host, `${host}:${random.between(1, 65535)}`])
}

function repositoryText(random: Random): string {
  const run = () => random.text(ALPHANUMERIC, 1, 3)
  const component = () => random.pick([run(), run() + random.pick(['.', '_', '__', '-', '---']) + run(), 'docker.io', 'library'])
  return times(random.between(1, 4), component).join('/')
}

function targetText(random: Random): string {
  const tag = () => random.text('aZ09_', 1, 1) + random.text('aZ09_.-', 0, random.pick([2, 127]))
  const digest = () =>
    random.pick([
      () => digestFromHash('sha256', random.text('0123456789abcdef', 64, 64)),
      () => digestFromHash('sha512', random.text('0123456789abcdef', 128, 128)),
    ])()
  return random.pick([tag, tag, digest])()
}

function reference(random: Random): Reference {
  return makeReference(parseRegistry(hostText(random)), repositoryText(random), targetText(random))
}

/** Small enough that many references of a few thousand are the same. */
function crowdedReference(random: Random): Reference {
  const registry = parseRegistry(random.pick(['a', 'a:1', 'a.b', 'a.b:1', 'docker.io', 'index.docker.io']))
  const repository = times(random.between(1, 3), () => random.pick(['a', 'b', 'a.b', 'a-b', 'library'])).join('/')
  return makeReference(registry, repository, random.pick(['a', 'b', 'a.b', 'a-b', `sha256:${'a'.repeat(64)}`, `sha512:${'a'.repeat(128)}`]))
}

const fields = ({ registry, repository, tag, digest }: Reference): string => JSON.stringify([registry, repository, tag, digest])

test('Every reference is read back from its canonical spelling', () => {
  forAll(reference, (value) => assert.deepEqual(parseReference(formatReference(value)), value))
})

for (const [crowd, make] of [
  ['in a crowd', crowdedReference],
  ['anywhere', reference],
] as const) {
  test(`Two different references ${crowd} never have the same canonical spelling`, () => {
    const seen = new Map<string, string>()
    forAll(make, (value) => {
      const spelling = formatReference(value)
      assert.equal(seen.get(spelling) ?? fields(value), fields(value))
      seen.set(spelling, fields(value))
    })
    assert.equal(new Set(seen.values()).size, seen.size)
  })
}

test('The same name at two registries stays two names', () => {
  const sameNameTwice = (random: Random): [string, string, string, string] => [
    hostText(random),
    hostText(random),
    repositoryText(random),
    targetText(random),
  ]
  forAll(sameNameTwice, ([oneHost, otherHost, repository, target]) => {
    const [one, other] = [parseRegistry(oneHost), parseRegistry(otherHost)]
    const spellings = [one, other].map((registry) => formatReference(makeReference(registry, repository, target)))
    assert.equal(spellings[0] === spellings[1], one === other)
    assert.deepEqual(
      spellings.map((spelling): Registry => parseReference(spelling).registry),
      [one, other],
    )
  })
})

test('A host in a repository name never becomes the registry', () => {
  const nested = (random: Random): [string, string] => [
    `${random.pick(['docker.io', 'quay.io', 'a.b'])}/${repositoryText(random)}`,
    targetText(random),
  ]
  forAll(nested, ([repository, target]) => {
    const outer = makeReference(parseRegistry('cache.example'), repository, target)
    assert.equal(outer.repository, repository)
    assert.deepEqual(parseReference(formatReference(outer)), outer)
  })
})

test('However Docker Hub and its official images are spelled, the reference is one', () => {
  const spelled = (random: Random): [string, string, string] => {
    const host = random.pick(HUB_NAMES)
    return [random.pick([host, host.toUpperCase()]), random.text(ALPHANUMERIC, 1, 5), targetText(random)]
  }
  forAll(spelled, ([host, image, target]) => {
    const separator = target.includes(':') ? '@' : ':'
    const canonical = `docker.io/library/${image}${separator}${target}`
    assert.equal(formatReference(parseReference(`${host}/${image}${separator}${target}`)), canonical)
    assert.equal(formatReference(parseReference(`${host}/library/${image}${separator}${target}`)), canonical)
  })
})

test('Damaged text is refused with a 400, or is a reference whose spelling reads as the same', () => {
  const damaged = (random: Random): string => {
    const text = formatReference(reference(random))
    const at = random.below(text.length + 1)
    return text.slice(0, at) + random.text('aZ0._-:/@%[]\\ \n\0\u212a\u00e4', 0, 3) + text.slice(at + random.below(3))
  }
  let refused = 0
  forAll(damaged, (text) => {
    let value: Reference
    try {
      value = parseReference(text)
    } catch (error) {
      assert.ok(error instanceof OciError && error.status === 400, String(error))
      refused++
      return
    }
    assert.deepEqual(parseReference(formatReference(value)), value)
  })
  assert.ok(refused > 100, 'the damage is real')
})
