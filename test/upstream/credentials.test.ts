import assert from 'node:assert/strict'
import { rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { EntryCredentials } from '../../src/upstream/credentials.ts'
import { temporaryDirectory } from '../support/files.ts'

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`

test('credentials from the configuration', async () => {
  const source = new EntryCredentials('r', { user: 'ann', password: { from: 'config', password: 'pä:ss' } })
  assert.equal((await source.read()).basic, basic('ann:pä:ss'))
})

test('credentials from the environment, read when they are needed', async () => {
  const env: Record<string, string> = {}
  const source = new EntryCredentials('r.example', { user: 'ann', password: { from: 'env', variable: 'SECRET' } }, env)
  await assert.rejects(source.read(), {
    kind: 'denied',
    message: 'the password for r.example cannot be had: the environment has no SECRET',
  })
  env.SECRET = 'one'
  assert.equal((await source.read()).basic, basic('ann:one'))
  env.SECRET = 'two'
  assert.equal((await source.read()).basic, basic('ann:two'))
})

for (const [content, secret] of [
  ['pw', 'pw'],
  ['pw\n', 'pw'],
  ['pw\r\n', 'pw'],
  ['pw\n\n', 'pw\n'],
  [' pw ', ' pw '],
]) {
  test(`a password file with ${JSON.stringify(content)}`, async (t) => {
    const path = join(await temporaryDirectory(t), 'password')
    await writeFile(path, content ?? '')
    const source = new EntryCredentials('r', { user: 'ann', password: { from: 'file', path } })
    assert.equal((await source.read()).basic, basic(`ann:${secret}`))
  })
}

test('a password file is read again when its size, its time or the file itself changed', async (t) => {
  const path = join(await temporaryDirectory(t), 'password')
  const source = new EntryCredentials('r', { user: 'ann', password: { from: 'file', path } })
  const time = new Date('2026-01-01')
  const put = async (content: string, when: Date): Promise<void> => {
    await writeFile(`${path}.new`, content)
    await utimes(`${path}.new`, when, when)
    await rename(`${path}.new`, path)
  }
  const identities = new Set<string | undefined>()
  for (const [content, when] of [
    ['one', time],
    ['longer', time],
    ['zonger', new Date('2026-01-02')],
  ] as const) {
    await put(content, when)
    const read = await source.read()
    assert.equal(read.basic, basic(`ann:${content}`))
    identities.add(read.identity)
  }
  assert.equal(identities.size, 3)
})

test('a password file that cannot be read: denied, with its name; and read once it is there', async (t) => {
  const path = join(await temporaryDirectory(t), 'password')
  const source = new EntryCredentials('r.example', { user: 'ann', password: { from: 'file', path } })
  await assert.rejects(source.read(), { kind: 'denied', message: `the password for r.example cannot be had: reading ${path}: ENOENT` })
  await writeFile(path, 'pw')
  assert.equal((await source.read()).basic, basic('ann:pw'))
  await rm(path)
  await assert.rejects(source.read(), { kind: 'denied' })
})

test('an identity tells neither user nor password', async () => {
  const source = new EntryCredentials('r', { user: 'ann', password: { from: 'config', password: 'secret' } })
  assert.match((await source.read()).identity ?? '', /^[0-9a-f]{64}$/)
})
