/** Names that collide between registries never mix: the same repositories and tags in three registries, asked for in every shape, at random. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { Random } from '../support/property.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'

/** What each is called by clients; the first is its name. */
const NAMES = [
  ['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com', 'Docker.IO'],
  ['quay.io', 'q', 'Quay.io'],
  ['reg.example:5000', 'corp', 'old.reg.example'],
] as const

/** Hosts, aliases and words of the API among them. */
const REPOSITORIES = [
  'library/app',
  'a/b',
  'quay.io/a/b',
  'docker.io/library/app',
  'q/a/b',
  'corp/a/b',
  'v2/a',
  'a/v2/b',
  'a/manifests/1',
  'blobs/manifests',
  'a/tags/list',
  'library/quay.io',
  'a/b/c/d/e/f',
]
const TAGS = ['1', 'latest', 'v2', 'quay.io']

type Question = { readonly target: string; readonly headers: Record<string, string>; readonly want: string }

/** A request that means `tag` of `repository` at one registry: any shape that can say so. */
function question(random: Random): Question {
  const which = random.below(NAMES.length)
  const aliases = NAMES[which] ?? NAMES[0]
  const repository = random.pick(REPOSITORIES)
  const tag = random.pick(TAGS)
  const want = `${aliases[0]}/${repository}:${tag}`
  const name = () => random.pick<string>(aliases)
  const ns = () => random.pick([name(), encodeURIComponent(name())])
  const short = which === 0 && repository.startsWith('library/') ? repository.slice('library/'.length) : repository
  const path = random.pick([repository, short])
  const shapes: (() => Omit<Question, 'want'> | undefined)[] = [
    () => (startsWithHost(path) && aliases.some((alias) => alias === path.split('/')[0]) ? undefined : plain(`/v2/${path}`, tag, ns())),
    () => plain(`/v2/${name()}/${path}`, tag),
    () => plain(`/v2/${name()}/${path}`, tag, ns()),
    () => (startsWithHost(path) ? undefined : plain(`/${name()}/v2/${path}`, tag)),
    () => plain(`/${name()}/v2/${name()}/${path}`, tag, ns()),
    () => (startsWithHost(path) ? undefined : { ...plain(`/v2/${path}`, tag), headers: { 'x-registry': name() } }),
    () => (which === 0 && !startsWithHost(path) ? plain(`/v2/${path}`, tag) : undefined),
  ]
  for (;;) {
    const made = random.pick(shapes)()
    if (made !== undefined) return { ...made, want }
  }
}

function plain(path: string, tag: string, ns?: string): Omit<Question, 'want'> {
  return { target: `${path}/manifests/${tag}${ns === undefined ? '' : `?ns=${ns}`}`, headers: {} }
}

/** A first segment that names a registry unless something before it does; a single segment never does. */
function startsWithHost(path: string): boolean {
  const [first = '', second] = path.split('/')
  return second !== undefined && (first.includes('.') || NAMES.some((names) => (names as readonly string[]).includes(first)))
}

function fill(registry: FakeRegistry, name: string): void {
  for (const repository of REPOSITORIES) {
    for (const tag of TAGS) registry.addImage(repository, tag, { fields: { annotations: { is: `${name}/${repository}:${tag}` } } })
  }
}

async function assertAnswers(server: TestServer, questions: readonly Question[]): Promise<void> {
  const connection = await server.connect()
  for (const { target, headers, want } of questions) {
    const response = await connection.ask({ target, headers })
    assert.equal(response.status, 200, `${target} ${JSON.stringify(headers)} for ${want}: ${response.body}`)
    const { annotations } = response.json() as { annotations: { is: string } }
    assert.equal(annotations.is, want, `${target} ${JSON.stringify(headers)}`)
    assert.equal(response.header('content-type'), OCI_MANIFEST)
  }
}

test('names that collide between registries never mix: live, cached, and after a restart', async (t) => {
  const fakes = await Promise.all(NAMES.map(() => startFakeRegistry(t)))
  const registries = fakes.map((fake, i) => entry(fake, ...(NAMES[i] as readonly [string, ...string[]])))
  for (const [i, fake] of fakes.entries()) fill(fake, NAMES[i]?.[0] ?? '')
  const random = new Random(1)
  const questions = Array.from({ length: 3000 }, () => question(random))
  const server = await startServer(t, { registries })
  await assertAnswers(server, questions)
  const requests = fakes.reduce((sum, fake) => sum + fake.count(), 0)
  assert.equal(requests, new Set(questions.map(({ want }) => want)).size, 'each name is asked for once')
  for (const fake of fakes)
    assert.equal(
      fake.requests().every(({ status }) => status === 200),
      true,
    )
  await server.stop()
  const offline = await startServer(t, { registries, imagePath: server.imagePath, airGapped: true })
  await assertAnswers(offline, questions)
  assert.equal(
    fakes.reduce((sum, fake) => sum + fake.count(), 0),
    requests,
  )
})
