import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { glob, segmentExpression } from '../../src/server/glob.ts'
import { temporaryDirectory } from '../support/files.ts'

const segments: [pattern: string, matches: readonly string[], matchesNot: readonly string[]][] = [
  ['*', ['a', '.hidden', 'a.txt', ''], []],
  ['*.txt', ['a.txt', '.txt'], ['a.txt~', 'atxt']],
  ['a?c', ['abc', 'a.c', 'aäc', 'a😀c'], ['ac', 'abbc']],
  ['[abc]1', ['a1', 'c1'], ['d1', '1', 'ab1']],
  ['[a-c0-9]', ['b', '7'], ['d', '-']],
  ['[^a-c]', ['d', '-'], ['a']],
  ['[!a]', ['!', 'a'], ['b']],
  ['[\\]]', [']'], ['\\']],
  ['[\\-x]', ['-', 'x'], ['a']],
  ['\\*', ['*'], ['a', '\\*']],
  ['a.b+c(d)', ['a.b+c(d)'], ['aXb+c(d)']],
  ['{a,b}', ['{a,b}'], ['a']],
  ['**', ['ab'], []],
]
for (const [pattern, matches, matchesNot] of segments) {
  test(`the pattern ${pattern} matches names as in Go`, () => {
    const expression = segmentExpression(pattern)
    for (const name of matches) assert.match(name, expression)
    for (const name of matchesNot) assert.doesNotMatch(name, expression)
  })
}

for (const pattern of ['[', '[]', '[a', '[]a]', '[-a]', '[a-]', '[z-a]', '[^]', '\\', '[a\\']) {
  test(`${pattern} is no pattern`, () => assert.throws(() => segmentExpression(pattern), /is not a pattern: want/))
}

const paths: [pattern: string, found: readonly string[]][] = [
  ['a.txt', ['a.txt']],
  ['none.txt', []],
  ['*.txt', ['a.txt', 'b.txt', 'broken.txt']],
  ['lists/*.txt', ['lists/c.txt', 'lists/d.txt']],
  ['*/[cd].txt', ['lists/c.txt', 'lists/d.txt', 'more/c.txt']],
  ['lists//c.txt', ['lists/c.txt']],
  ['li*', ['lists']],
  ['a.txt/*', []],
  ['none/*', []],
]
for (const [pattern, found] of paths) {
  test(`the files of ${pattern} are found, absolute or not`, async (t) => {
    const directory = await temporaryDirectory(t)
    for (const name of ['lists', 'more']) await mkdir(join(directory, name))
    for (const name of ['b.txt', 'a.txt', 'lists/d.txt', 'lists/c.txt', 'lists/e.list', 'more/c.txt'])
      await writeFile(join(directory, name), '')
    await symlink('nowhere', join(directory, 'broken.txt'))
    assert.deepEqual(
      await glob(`${directory}/${pattern}`),
      found.map((path) => join(directory, path)),
    )
    const before = process.cwd()
    process.chdir(directory)
    t.after(() => process.chdir(before))
    assert.deepEqual(await glob(pattern), found)
  })
}
