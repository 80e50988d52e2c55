import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import test from 'node:test'
import { type Entry, tarOf, withDirectories } from '../../scripts/image/tar.mjs'

const entries: Entry[] = [
  { type: 'file', path: 'usr/bin/x', mode: 0o755, content: Buffer.from('x'.repeat(600)) },
  { type: 'link', path: 'bin', mode: 0o777, target: 'usr/bin' },
  { type: 'directory', path: 'var/store', mode: 0o750, owner: 65532 },
  { type: 'directory', path: 'tmp', mode: 0o1777 },
]

test('directories above what is in an archive come before it, in the order of paths', () => {
  assert.deepEqual(
    withDirectories(entries).map(({ path }) => path),
    ['bin', 'tmp', 'usr', 'usr/bin', 'usr/bin/x', 'var', 'var/store'],
  )
})

test('tar reads modes, owners, sizes and links as they were meant, and no time but the first second of 1970', () => {
  const args = ['--list', '--verbose', '--numeric-owner', '--utc', '--file', '-']
  const { stdout, stderr } = spawnSync('tar', args, { input: tarOf(withDirectories(entries)), encoding: 'utf8' })
  assert.equal(stderr, '')
  assert.deepEqual(stdout.trimEnd().replace(/ +/g, ' ').split('\n'), [
    'lrwxrwxrwx 0/0 0 1970-01-01 00:00 bin -> usr/bin',
    'drwxrwxrwt 0/0 0 1970-01-01 00:00 tmp/',
    'drwxr-xr-x 0/0 0 1970-01-01 00:00 usr/',
    'drwxr-xr-x 0/0 0 1970-01-01 00:00 usr/bin/',
    '-rwxr-xr-x 0/0 600 1970-01-01 00:00 usr/bin/x',
    'drwxr-xr-x 0/0 0 1970-01-01 00:00 var/',
    'drwxr-x--- 65532/65532 0 1970-01-01 00:00 var/store/',
  ])
})

test('a path that does not fit is refused, and not cut', () => {
  assert.throws(() => tarOf([{ type: 'directory', path: 'x'.repeat(100), mode: 0o755 }]), /more than 100 bytes/)
  assert.throws(() => tarOf([{ type: 'link', path: 'x', mode: 0o777, target: 'x'.repeat(101) }]), /more than 100 bytes/)
})
