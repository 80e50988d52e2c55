import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findCommand } from '../../src/cli/commands.ts'
import { run } from '../../src/cli/run.ts'
import { type Digest, digestFileName, digestOf } from '../../src/oci/digest.ts'
import { parseReference } from '../../src/oci/reference.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { StoreLock } from '../../src/store/lock.ts'
import { encodeSpoolNote, noteName } from '../../src/store/spool-note.ts'
import { FakeContent } from '../support/fake-registry-content.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { generations, snapshot, writeOldStore } from '../support/old-store.ts'
import { blobFile, recordFile, referenceFile, type StoredImage, storeImage, storeIndex } from '../support/stored-image.ts'
import { FakeIo } from './fake-io.ts'

const APP = 'quay.io/team/app:v1'
const TOOL = 'docker.io/team/tool:latest'
const LIST = 'quay.io/team/app:list'
const EPOCH = String.raw`1970-01-01T\d\d:\d\d:\d\d|1969-12-31T\d\d:\d\d:\d\d`

type Ran = { readonly code: number; readonly out: string; readonly err: string }

async function list(...args: readonly string[]): Promise<Ran> {
  const io = new FakeIo()
  const code = await run(['list', ...args], io)
  return { code, out: io.out, err: io.err }
}

type Filled = { readonly path: string; readonly store: DirectoryStore; readonly app: StoredImage; readonly tool: StoredImage }

/** Two images with a layer in common, and an index of one of them. */
async function filled(t: TestContext): Promise<Filled> {
  const path = await temporaryDirectory(t)
  const store = await DirectoryStore.open(path, new MemoryLog())
  const upstream = new FakeContent()
  const app = await storeImage(store, APP, { layers: [Buffer.from('shared'), Buffer.from('app')] }, upstream)
  const tool = await storeImage(store, TOOL, { layers: [Buffer.from('shared'), Buffer.from('tool')] }, upstream)
  await storeIndex(store, LIST, [app], upstream)
  return { path, store, app, tool }
}

test('list prints what is stored, sorted, and totals beside it, and exits with 0', async (t) => {
  const { path } = await filled(t)
  const { code, out, err } = await list('--image-path', path)
  assert.equal(code, 0)
  assert.match(
    out,
    new RegExp(
      `^docker\\.io/team/tool latest image (${EPOCH}) (${EPOCH}) 0\\.0 -\n` +
        `quay\\.io/team/app list list (${EPOCH}) (${EPOCH}) n/a -\n` +
        `quay\\.io/team/app v1 image (${EPOCH}) (${EPOCH}) 0\\.0 -\n$`,
    ),
  )
  assert.match(err, /^3 references, 3 manifests, 5 blobs of \d+ bytes; layers that images share are counted once\n$/)
})

const APP_LINE = /^quay\.io\/team\/app v1 image \S+ \S+ 0\.0 -\n$/
const selections: [sentence: string, args: string[], out: RegExp][] = [
  ['A pattern matches anywhere in a reference', ['--pattern', 'app:v'], APP_LINE],
  ['Of several patterns one has to match', ['--pattern', 'nothing,app:v1$'], APP_LINE],
  ['A pattern is an expression of Go', ['--pattern', '(?i)TEAM/APP:V\\d\\z'], APP_LINE],
  [
    'A header is printed on demand',
    ['--pattern', 'app:v', '--header'],
    /^IMAGE TAG\/DIGEST TYPE CREATED PULLED SIZE\(MB\) PLATFORMS\nquay/,
  ],
  ['References are printed one a line', ['--format', 'url'], new RegExp(`^${TOOL}\n${LIST}\n${APP}\n$`)],
  ['References that match are printed one a line', ['--format', 'url', '--pattern', '^docker.io/'], new RegExp(`^${TOOL}\n$`)],
  ['--format table is what comes without it', ['--format', 'table', '--pattern', 'app:v'], APP_LINE],
  [
    'The blobs of images are printed on demand',
    ['--blobs', '--pattern', 'app:v'],
    /^quay\S+ v1 .*\n(- sha256:[0-9a-f]{64} \d+ stored\n){3}$/,
  ],
  [
    'Digests of blobs are cut, too',
    ['--blobs', '--short-digest', '--pattern', 'app:v'],
    /^quay\S+ v1 .*\n(- sha256:[0-9a-f]{10} \d+ stored\n){3}$/,
  ],
]
for (const [sentence, args, out] of selections) {
  test(sentence, async (t) => {
    const { path } = await filled(t)
    const answer = await list('--image-path', path, ...args)
    assert.equal(answer.code, 0, answer.err)
    assert.match(answer.out, out)
  })
}

test('What list prints as references is read back as the references that are stored', async (t) => {
  const { path, store, app } = await filled(t)
  const reference = `quay.io/team/app@${app.digest}`
  await store.putRef({ reference, digest: app.digest, createdMs: 0, pulledMs: 0, checkedMs: 0 })
  const { out } = await list('--format', 'url', '--image-path', path)
  const lines = out.trimEnd().split('\n')
  assert.deepEqual(lines, [TOOL, LIST, APP, reference])
  for (const line of lines) parseReference(line)
})

for (const [what, args, err] of [
  ['Of an empty store', [], /^no images in \S+\n$/],
  ['Where nothing matches', ['--pattern', 'nowhere', '--header'], /^none of 3 in \S+ matches nowhere\n$/],
  ['Where nothing matches, as references', ['--pattern', 'nowhere', '--format', 'url'], /^none of 3 in \S+ matches nowhere\n$/],
  ['Where nothing is downloaded', ['--pulls', '--header'], /^nothing is being downloaded into \S+, or was left unfinished\n$/],
] as const) {
  test(`${what} list prints nothing, says so beside it, and exits with 0`, async (t) => {
    const path = args.length === 0 ? await temporaryDirectory(t) : (await filled(t)).path
    if (args.length === 0) await DirectoryStore.open(path, new MemoryLog())
    const answer = await list('--image-path', path, ...args)
    assert.deepEqual([answer.code, answer.out], [0, ''])
    assert.match(answer.err, err)
  })
}

test('list --json prints one document with everything', async (t) => {
  const { path, app } = await filled(t)
  await rm(blobFile(path, app.layers[1] as Digest))
  await writeFile(blobFile(path, digestOf(Buffer.from('nobody needs it'))), 'nobody needs it')
  const { code, out, err } = await list('--json', '--image-path', path)
  assert.deepEqual([code, err], [0, ''])
  const { store, images, totals, unneededBlobs } = JSON.parse(out)
  assert.deepEqual([store, unneededBlobs, totals.references, totals.manifests, totals.blobs], [path, 1, 3, 3, 4])
  const image = images.find(({ reference }: { reference: string }) => reference === APP)
  assert.deepEqual(
    { ...image, size: 0, blobs: image.blobs.map(({ digest, state }: { digest: Digest; state: string }) => [digest, state]) },
    {
      ...{ reference: APP, named: true, registry: 'quay.io', repository: 'team/app', tag: 'v1', digest: app.digest, type: 'image' },
      ...{
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        created: '1970-01-01T00:00:00.000Z',
        pulled: '1970-01-01T00:00:00.000Z',
      },
      ...{ size: 0, complete: false, platforms: [], images: [] },
      blobs: [
        [app.config, 'stored'],
        [app.layers[0], 'stored'],
        [app.layers[1], 'missing'],
      ],
    },
  )
  const index = images.find(({ reference }: { reference: string }) => reference === LIST)
  assert.deepEqual([index.complete, index.images], [false, [{ digest: app.digest, platform: '', state: 'incomplete' }]])
  assert.deepEqual(JSON.parse((await list('--json', '--pattern', 'nowhere', '--image-path', path)).out).images, [])
})

async function leavePulls(path: string): Promise<Digest> {
  const digest = digestOf(Buffer.from('a layer'))
  const { registry, repository } = parseReference(APP)
  const note = encodeSpoolNote({ digest, sizeBytes: 7, sources: [{ registry, repository }], boot: 'b', syncedBytes: 0 })
  await writeFile(join(path, 'pulls', digestFileName(digest)), 'a la')
  await writeFile(join(path, 'pulls', noteName(digestFileName(digest))), note)
  return digest
}

test('list --pulls prints what is being downloaded in place of images', async (t) => {
  const { path } = await filled(t)
  const digest = await leavePulls(path)
  const { code, out, err } = await list('--pulls', '--header', '--image-path', path)
  assert.deepEqual([code, out], [0, `DIGEST BYTES SIZE SOURCES\n${digest.slice(7)} 4 7 quay.io/team/app\n`])
  assert.equal(err, '1 unfinished download, 4 bytes so far\n')
  assert.deepEqual(JSON.parse((await list('--pulls', '--json', '--image-path', path)).out).totals, { downloads: 1, bytes: 4 })
})

test('On a terminal columns stand one below the other', async (t) => {
  const { path } = await filled(t)
  const io = new FakeIo()
  io.stdoutIsTerminal = true
  assert.equal(await run(['list', '--header', '--image-path', path], io), 0)
  const starts = io.out
    .trimEnd()
    .split('\n')
    .map((line) => line.search(/ (?:TYPE|image|list) /))
  assert.equal(new Set(starts.slice(0, 2)).size, 1, io.out)
})

test('list takes header, digests and pattern from listConfig, and flags win over it', async (t) => {
  const { path, app } = await filled(t)
  const config = join(path, 'config.yaml')
  await writeFile(config, `imagePath: ${path}\nlistConfig: {header: true, shortDigest: true, expr: 'app@'}\n`)
  const store = await DirectoryStore.open(path, new MemoryLog())
  await store.putRef({ reference: `quay.io/team/app@${app.digest}`, digest: app.digest, createdMs: 0, pulledMs: 0, checkedMs: 0 })
  const { out } = await list('--config-file', config)
  assert.match(out, new RegExp(`^IMAGE .*\nquay\\.io/team/app ${app.digest.slice(7, 17)} image .*\n$`))
  const other = await list('--config-file', config, '--header=false', '--short-digest=false', '--pattern', 'app')
  assert.match(
    other.out,
    new RegExp(`^quay\\.io/team/app list list .*\nquay\\.io/team/app v1 .*\nquay\\.io/team/app ${app.digest.slice(7)} .*\n$`),
  )
})

test('list changes nothing in a store: what is damaged is logged and left out', async (t) => {
  const { path, app } = await filled(t)
  await leavePulls(path)
  await appendFile(recordFile(path, app.digest), 'damaged')
  await writeFile(referenceFile(path, 'quay.io/x/y:1'), 'damaged')
  const before = await snapshot(path)
  for (const args of [[], ['--json'], ['--blobs'], ['--pulls'], ['--format', 'url']]) {
    const { code, out, err } = await list(...args, '--image-path', path)
    assert.equal(code, 0, err)
    if (args[0] === '--pulls') continue
    assert.match(out, /docker\.io\/team\/tool/)
    assert.doesNotMatch(out, /app[: ]v1/)
    assert.equal(err.match(/damaged file left out/g)?.length, 2, err)
  }
  assert.deepEqual(await snapshot(path), before)
})

const lost: [what: string, args: string[], listed: number, lines: string[]][] = [
  ['all that is stored', [], 2, ['2 references point at manifests that are not there: see ociregistry verify']],
  ['what a pattern means', ['--pattern', 'app:v1|tool'], 1, ['1 reference points at a manifest that is not there: see ociregistry verify']],
  [
    'nothing that is left',
    ['--pattern', 'app:v1'],
    0,
    ['none of 2 in $ matches app:v1', '1 reference points at a manifest that is not there: see ociregistry verify'],
  ],
  ['what was never there', ['--pattern', 'tool'], 1, []],
]
for (const [what, args, listed, lines] of lost) {
  test(`References whose manifests are damaged or gone are counted beside the totals of ${what}`, async (t) => {
    const { path, app, store } = await filled(t)
    const gone = await storeImage(store, 'quay.io/team/gone:1', { layers: [Buffer.from('gone')] }, new FakeContent())
    await rm(recordFile(path, gone.digest))
    await appendFile(recordFile(path, app.digest), 'damaged')
    const own = (reference: string) => args.length === 0 || new RegExp(args[1] ?? '').test(reference)
    const { code, out, err } = await list('--log-level', 'error', '--format', 'url', '--image-path', path, ...args)
    assert.equal(code, 0)
    assert.deepEqual(out.split('\n').filter((reference) => reference !== '' && own(reference)).length, listed)
    const said = err.replaceAll(path, '$').split('\n')
    assert.deepEqual(
      said.filter((line) => /not there|none of/.test(line)),
      lines,
    )
    const { totals } = JSON.parse((await list('--json', '--image-path', path, ...args)).out)
    assert.equal(totals.lostReferences, lines.length === 0 ? 0 : Number.parseInt(lines.at(-1) ?? '', 10))
  })
}

test('list runs beside whoever holds the store', async (t) => {
  const { path } = await filled(t)
  const self = { program: 'ociregistry', version: '1.2.3', pid: 7, hostname: 'edge' }
  const lock = await StoreLock.acquire(path, { self, waitMs: 0, clock: new FakeIo().clock })
  t.after(() => lock.release())
  const { code, out } = await list('--image-path', path)
  assert.deepEqual([code, out.split('\n').length], [0, 4])
})

for (const generation of generations) {
  test(`All that a server of ${generation} has left is listed, and nothing of it changes`, async (t) => {
    const path = await temporaryDirectory(t)
    const { manifests } = await writeOldStore(path, generation)
    const before = await snapshot(path)
    const { code, out } = await list('--format', 'url', '--image-path', path)
    const wanted = manifests.map(({ imageUrl }) => imageUrl.replace(/^docker\.io\/(?=[^/]+$)/, 'docker.io/library/'))
    assert.deepEqual([code, out.trimEnd().split('\n')], [0, [...new Set(wanted)].sort()])
    assert.deepEqual(await snapshot(path), before)
  })
}

test('The help of list has examples that work', async (t) => {
  const { path } = await filled(t)
  const { examples } = findCommand('list')
  assert.ok(examples.length >= 2)
  for (const example of examples) {
    const [, , ...words] = example
      .replace(/ > \S+$/, '')
      .replaceAll("'", '')
      .split(' ')
    const args = words.filter((arg) => arg !== '--image-path' && arg !== '/var/lib/ociregistry')
    assert.equal((await list(...args, '--image-path', path)).code, 0, example)
  }
})

const mistakes: [sentence: string, args: (path: string) => string[], message: RegExp][] = [
  ['A pattern that is none', () => ['--pattern', 'a,('], /--pattern: found .*, want Go's regular expression/],
  ['An unknown format', () => ['--format', 'yaml'], /--format: found "?yaml"?, want table or url/],
  ['A document of references', () => ['--json', '--format', 'url'], /--json: found beside --format, want one of the two/],
  ['Blobs beside references', () => ['--blobs', '--format', 'url'], /--blobs: found beside --format, want one of the two/],
  ['References of downloads', () => ['--pulls', '--format', 'url'], /--pulls: found beside --format, want one of the two/],
  ['Blobs of downloads', () => ['--pulls', '--blobs'], /--pulls: found beside --blobs, want one of the two/],
  ['A pattern for downloads', () => ['--pulls', '--pattern', 'a'], /--pulls: found beside --pattern, want one of the two/],
  ['A flag of prune', () => ['--yes'], /--yes: found with the command list, want it with the command prune/],
  ['A word too many', () => ['now'], /"now": found a word behind the command list/],
  ['A directory that is not there', (path) => ['--image-path', join(path, 'none')], /cannot list .*none: no such file or directory, want/],
  ['A directory that is no store', (path) => ['--image-path', join(path, 'refs')], /cannot list .*refs: found no store in it, want/],
  [
    'A pattern in the file that is none',
    (path) => ['--config-file', join(path, 'config.yaml')],
    /config\.yaml:1: listConfig\.expr: found /,
  ],
]
for (const [what, args, message] of mistakes) {
  test(`${what} is a mistake of whoever typed list: one line, exit code 1`, async (t) => {
    const { path } = await filled(t)
    await writeFile(join(path, 'config.yaml'), "listConfig: {expr: '('}\n")
    const given = args(path)
    const { code, out, err } = await list(...given, ...(given.includes('--image-path') ? [] : ['--image-path', path]))
    assert.deepEqual([code, out], [1, ''])
    assert.match(err, /^error: [^\n]*\n$/)
    assert.match(err, message)
  })
}

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** More than a pipe takes at once. */
async function storeOfLongList(t: TestContext): Promise<{ path: string; lines: number }> {
  const { path, store, app } = await filled(t)
  const tags = Array.from({ length: 1500 }, (_, i) => `quay.io/team/app:${'long'.repeat(20)}-${i}`)
  await Promise.all(tags.map((reference) => store.putRef({ reference, digest: app.digest, createdMs: 0, pulledMs: 0, checkedMs: 0 })))
  return { path, lines: tags.length + 3 }
}

test('A long list arrives whole at a slow reader', async (t) => {
  const { path, lines } = await storeOfLongList(t)
  const child = spawn(process.execPath, ['--import', 'tsx', main, 'list', '--image-path', path], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  const closed = once(child, 'close')
  await once(child.stderr, 'data') // the totals: all of the list has been written, or is on its way
  let out = ''
  for await (const chunk of child.stdout.setEncoding('utf8')) out += chunk
  assert.deepEqual(await closed, [0, null])
  assert.equal(out.trimEnd().split('\n').length, lines)
})

test('A reader that leaves ends list without a word', async (t) => {
  const { path } = await storeOfLongList(t)
  const child = spawn(process.execPath, ['--import', 'tsx', main, 'list', '--image-path', path], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  const closed = once(child, 'close')
  child.stdout.destroy()
  let err = ''
  for await (const chunk of child.stderr.setEncoding('utf8')) err += chunk
  assert.deepEqual(await closed, [0, null])
  assert.match(err, /^\d+ references, [^\n]*\n$/)
})

test('A directory in which nothing was ever stored is listed', async (t) => {
  const path = await temporaryDirectory(t)
  await mkdir(join(path, 'blobs'))
  assert.equal((await list('--image-path', path)).code, 0)
})
