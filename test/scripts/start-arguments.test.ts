import assert from 'node:assert/strict'
import test from 'node:test'
import { startArguments } from '../../scripts/start-arguments.mjs'

const store = ['--image-path', './images']
const log = ['--log-level', 'info']

const cases: [given: string[], run: string[]][] = [
  [[], ['serve', ...store, ...log]],
  [['serve'], ['serve', ...store, ...log]],
  [
    ['serve', '--port', '9000'],
    ['serve', '--port', '9000', ...store, ...log],
  ],
  [
    ['--port', '9000'],
    ['serve', '--port', '9000', ...store, ...log],
  ],
  [
    ['--log-level', 'debug', 'serve'],
    ['--log-level', 'debug', 'serve', ...store],
  ],
  [
    ['serve', '--log-level=warn'],
    ['serve', '--log-level=warn', ...store],
  ],
  [
    ['serve', '--image-path', '/x'],
    ['serve', '--image-path', '/x', ...log],
  ],
  [
    ['serve', '-image-path', '/x', '-log-level=warn'],
    ['serve', '-image-path', '/x', '-log-level=warn'],
  ],
  [['--image-path=/x'], ['serve', '--image-path=/x', ...log]],
  [
    ['serve', '--config-file', 'c.yaml'],
    ['serve', '--config-file', 'c.yaml'],
  ],
  [['--config-file=c.yaml'], ['serve', '--config-file=c.yaml']],
  [['list'], ['list', ...store, ...log]],
  [['version'], ['version']],
  [
    ['help', 'serve'],
    ['help', 'serve'],
  ],
  [['--help'], ['--help']],
  [['--version'], ['--version']],
  [
    ['serve', '--help'],
    ['serve', '--help'],
  ],
  [['srve'], ['srve']],
]

for (const [given, run] of cases) {
  test(`npm start -- ${given.join(' ')} runs ${run.join(' ')}`, () => assert.deepEqual(startArguments(given), run))
}
