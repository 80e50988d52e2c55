import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { formatImageName } from '../../src/oci/image-name.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import { ImageFileError, imageSources, listedImages } from '../../src/server/image-files.ts'
import { temporaryDirectory } from '../support/files.ts'

async function lists(t: TestContext): Promise<(name: string) => string> {
  const directory = await temporaryDirectory(t)
  const at = (name: string) => join(directory, name)
  await mkdir(at('lists'))
  const tar = Buffer.alloc(1024)
  tar.write('ustar', 257)
  const files: Record<string, string | Buffer> = {
    'a.txt': 'alpine:3\nNot Good\n',
    'lists/b.txt': 'quay.io/x:1\ndocker.io/library/alpine:3\n',
    'lists/c.txt': '\ufeff# nothing\n',
    'image.tar': tar,
    'image.tar.gz': gzipSync('anything'),
    latin: Buffer.from('caf\xe9', 'latin1'),
  }
  for (const [name, content] of Object.entries(files)) await writeFile(at(name), content)
  return at
}

test('a specification names files and globs, separated by commas, each file once', async (t) => {
  const at = await lists(t)
  const spec = ` ${at('a.txt')} ,, ${at('lists/*.txt')},${at('a.*')}`
  const sources = await imageSources(spec)
  assert.deepEqual(
    sources.map(({ kind, path }) => [kind, path]),
    ['a.txt', 'lists/b.txt', 'lists/c.txt'].map((name) => ['list', at(name)]),
  )
})

test('the images of several lists come with list and line, what two lists name once', async (t) => {
  const at = await lists(t)
  const images = await listedImages(`${at('a.txt')},${at('lists/*')}`, new Map([['quay.io', parseRegistry('mirror.example')]]))
  assert.deepEqual(
    images.map((image) => [image.list, image.line, 'image' in image ? formatImageName(image.image) : image.text]),
    [
      [at('a.txt'), 1, 'docker.io/library/alpine:3'],
      [at('a.txt'), 2, 'Not Good'],
      [at('lists/b.txt'), 1, 'mirror.example/x:1'],
    ],
  )
})

const mistakes: [sentence: string, spec: (at: (name: string) => string) => string, message: RegExp][] = [
  ['a file that is not there', (at) => at('none.txt'), /^no files matched ".*none\.txt"$/],
  ['a glob without files beside a list', (at) => `${at('a.txt')},${at('none/*')}`, /^no files matched ".*none\/\*"$/],
  ['a pattern that is none', (at) => at('[a'), /'\[a' is not a pattern/],
  ['standard input beside a file that is not there', (at) => `-,${at('none.txt')}`, /^no files matched ".*none\.txt"$/],
  ['nothing', () => ' , ', /^no files are named by ' , '$/],
  ['a directory', (at) => at('lists'), /^cannot read .*lists: EISDIR/],
  ['an archive', (at) => at('image.tar'), /image\.tar: found an archive, which a later version will load; want a list of images$/],
  ['a packed archive', (at) => at('image.tar.gz'), /found an archive/],
  ['what is no text', (at) => at('latin'), /it is no UTF-8 text$/],
]
for (const [sentence, spec, message] of mistakes) {
  test(`${sentence} is one line that says what is wrong`, async (t) => {
    const at = await lists(t)
    await assert.rejects(imageSources(spec(at)), (error) => error instanceof ImageFileError && message.test(error.message))
  })
}
