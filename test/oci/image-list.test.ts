import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ListedImage, parseImageList } from '../../src/oci/image-list.ts'
import { formatImageName } from '../../src/oci/image-name.ts'

const D = `sha256:${'a'.repeat(64)}`

const lists: [sentence: string, text: string, entries: readonly string[]][] = [
  ['One name a line', 'alpine:3\nquay.io/x/y:1\n', ['1 docker.io/library/alpine:3', '2 quay.io/x/y:1']],
  ['An empty list', '', []],
  ['A list without a last line end', 'alpine:3', ['1 docker.io/library/alpine:3']],
  ['Comments and blank lines', '# images\n\n  # more\nalpine:3 # the base\n\t\n#bash\n', ['4 docker.io/library/alpine:3']],
  ['A comment behind a tab', 'alpine:3\t# the base', ['1 docker.io/library/alpine:3']],
  ['Blanks around a name', '  alpine:3  \n', ['1 docker.io/library/alpine:3']],
  ['Line ends of Windows', 'alpine:3\r\n\r\nbash:5\r\n', ['1 docker.io/library/alpine:3', '3 docker.io/library/bash:5']],
  ['A byte order mark', '\ufeffalpine:3\n', ['1 docker.io/library/alpine:3']],
  [
    'What is named twice, in whatever spelling',
    'alpine\nbash:5\ndocker.io/library/alpine:latest\n',
    ['1 docker.io/library/alpine:latest', '2 docker.io/library/bash:5'],
  ],
  ['A tag beside a digest is not the digest alone', `x:1@${D}\nx@${D}\n`, [`1 docker.io/library/x:1@${D}`, `2 docker.io/library/x@${D}`]],
  [
    'A bad line does not stop the others',
    'alpine:3\nNot Good\nbash:5',
    [
      '1 docker.io/library/alpine:3',
      "2 Not Good: 'Not Good' is not a repository name: want lower-case components joined by '/'",
      '3 docker.io/library/bash:5',
    ],
  ],
  ['A hash that is no comment', 'alpine:3#x', ["1 alpine:3#x: '3#x' is not a tag: want up to 128 letters, digits, '.', '_' and '-'"]],
]
for (const [sentence, text, entries] of lists) {
  test(`${sentence}: a list of images is read`, () => assert.deepEqual(parseImageList(text).map(shown), entries))
}

function shown(listed: ListedImage): string {
  return `${listed.line} ${'image' in listed ? formatImageName(listed.image) : `${listed.text}: ${listed.problem}`}`
}
