import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Ground, putInPlace, takeAway, type Wanted } from '../../src/cli/installation.ts'
import { run } from '../../src/cli/run.ts'
import { temporaryDirectory } from '../support/files.ts'
import { FakeIo } from './fake-io.ts'

const wanted: Wanted = {
  texts: { service: 'service', socket: 'socket', sysusers: 'sysusers', tmpfiles: 'tmpfiles', config: 'config' },
  program: Buffer.from('program'),
  listen: undefined,
}
const OPEN = { ...wanted, listen: { host: '0.0.0.0', port: 80 } }

/** A root directory, and what was said about it. */
async function bench(t: TestContext) {
  const root = await temporaryDirectory(t)
  await mkdir(join(root, 'usr/bin'), { recursive: true })
  await writeFile(join(root, 'usr/bin/node'), '')
  let said = ''
  const say = (text: string) => {
    said += text.replaceAll(root, '')
  }
  const ground: Ground = { root, dryRun: false, systemdRuns: false, run: async () => {}, stdout: say, stderr: say }
  const take = () => {
    const text = said
    said = ''
    return text
  }
  return { root, ground, take, files: async () => (await readdir(root, { recursive: true })).sort() }
}

const ENABLE = 'to be run: systemctl --root= enable ociregistry.service ociregistry.socket\n'
const lines = (word: string, more = '', config = `${word} /etc/ociregistry/config.yaml`) =>
  `${word} /usr/local/bin/ociregistry
${word} /etc/systemd/system/ociregistry.service
${word} /etc/systemd/system/ociregistry.socket
${more}${word} /etc/sysusers.d/ociregistry.conf
${word} /etc/tmpfiles.d/ociregistry.conf
${config}
`
const CLOSED = 'only this host reaches the server, at 127.0.0.1:8080\n'
const KEPT = 'kept      /etc/ociregistry/config.yaml, which is yours'

test('Installing says what it did, and what is left to be done; again, it changes nothing', async (t) => {
  const { root, ground, take } = await bench(t)
  assert.equal(await putInPlace(ground, wanted), 0)
  assert.equal(take(), `${lines('installed')}${ENABLE}${CLOSED}`)
  assert.equal(await readFile(join(root, 'usr/local/bin/ociregistry'), 'utf8'), 'program')
  assert.equal((await stat(join(root, 'usr/local/bin/ociregistry'))).mode & 0o777, 0o755)
  assert.equal(await putInPlace(ground, wanted), 0)
  assert.equal(take(), `${lines('unchanged', '', KEPT)}${ENABLE}${CLOSED}`)
})

test('An upgrade replaces what is the program’s, mends modes, and leaves the configuration and the address alone', async (t) => {
  const { root, ground, take } = await bench(t)
  await putInPlace(ground, OPEN)
  await writeFile(join(root, 'etc/ociregistry/config.yaml'), 'mine')
  await chmod(join(root, 'usr/local/bin/ociregistry'), 0o644)
  take()
  await putInPlace(ground, { ...wanted, texts: { ...wanted.texts, service: 'new' } })
  const text = take()
  for (const file of ['/usr/local/bin/ociregistry', '/etc/systemd/system/ociregistry.service'])
    assert.ok(text.includes(`updated   ${file}\n`), text)
  assert.ok(text.includes('unchanged /etc/systemd/system/ociregistry.socket\n'), text)
  assert.ok(text.includes('warning: everybody who reaches 0.0.0.0:80 can read'), text)
  assert.equal(await readFile(join(root, 'etc/ociregistry/config.yaml'), 'utf8'), 'mine')
})

test('A dry run changes nothing', async (t) => {
  const { ground, take, files } = await bench(t)
  assert.equal(await putInPlace({ ...ground, dryRun: true }, wanted), 0)
  assert.equal(take(), `${lines('would install')}${ENABLE}${CLOSED}`)
  assert.deepEqual(await files(), ['usr', 'usr/bin', 'usr/bin/node'])
  await putInPlace(ground, wanted)
  const before = await files()
  assert.equal(await takeAway({ ...ground, dryRun: true }), 0)
  assert.match(take(), /^would remove {2}\/usr\/local\/bin\/ociregistry$/m)
  assert.deepEqual(await files(), before)
})

test('Uninstalling removes what was installed, keeps the configuration and others’ drop-ins, and is harmless a second time', async (t) => {
  const { root, ground, take, files } = await bench(t)
  await putInPlace(ground, OPEN)
  await writeFile(join(root, 'etc/systemd/system/ociregistry.service.d/mine.conf'), '')
  take()
  assert.equal(await takeAway(ground), 0)
  const kept = '/etc/ociregistry/config.yaml, the store /var/lib/ociregistry and the user ociregistry are kept\n'
  const gone = [
    '/etc/systemd/system/ociregistry.service.d/listen.conf',
    '/etc/systemd/system/ociregistry.socket.d/listen.conf',
    '/etc/systemd/system/ociregistry.service',
    '/etc/systemd/system/ociregistry.socket',
    '/etc/sysusers.d/ociregistry.conf',
    '/etc/tmpfiles.d/ociregistry.conf',
    '/usr/local/bin/ociregistry',
  ]
  const disable = ENABLE.replace('enable', 'disable')
  assert.equal(take(), `${disable}${gone.map((file) => `removed   ${file}\n`).join('')}${kept}`)
  const left = (await files()).filter((file) => /\.(?:yaml|conf|service|socket)$|bin\/oci|\.d$/.test(file))
  assert.deepEqual(left, [
    'etc/ociregistry/config.yaml',
    'etc/systemd/system/ociregistry.service.d',
    'etc/systemd/system/ociregistry.service.d/mine.conf',
    'etc/sysusers.d',
    'etc/tmpfiles.d',
  ])
  assert.equal(await takeAway(ground), 0)
  assert.equal(take(), `${disable}${gone.map((file) => `absent    ${file}\n`).join('')}${kept}`)
})

test('Where systemd runs the commands are run; one that fails is said, with those that are left, and the exit code is 1', async (t) => {
  const { ground, take } = await bench(t)
  const ran: string[] = []
  const run: Ground['run'] = async (command) => {
    ran.push(command.join(' '))
    if (command.includes('daemon-reload')) throw new Error('Command failed: systemctl\nAccess denied')
  }
  // the files go below the root, the commands are those of this host
  assert.equal(await putInPlace({ ...ground, systemdRuns: true, run }, wanted), 0)
  assert.deepEqual(ran, [
    take()
      .match(/^ran {7}(.*)$/m)?.[1]
      ?.replace('--root=', `--root=${ground.root}`),
  ])
  assert.equal(
    await takeAway({ ...ground, systemdRuns: true, run: async () => Promise.reject(new Error('Command failed: x\nno such unit')) }),
    1,
  )
  assert.match(take(), /^error: systemctl --root= disable .*: no such unit$/m)
})

test('A system on which the service would not find node is warned about', async (t) => {
  const { root, ground, take } = await bench(t)
  await rm(join(root, 'usr/bin/node'))
  assert.equal(await putInPlace(ground, wanted), 0)
  assert.match(take(), /^warning: the service finds no node in .*\/usr\/bin: want it there, and not below a home$/m)
})

test('A file that cannot be written is one line, with what to do', async (t) => {
  const { root, ground } = await bench(t)
  await writeFile(join(root, 'usr/local'), '')
  await assert.rejects(putInPlace(ground, wanted), {
    name: 'ConfigError',
    message: new RegExp(`^cannot write ${root}/usr/local/bin/ociregistry: .*; run it as root, or with --root DIRECTORY$`),
  })
})

const WANTED = 'want the root directory of another system, as an absolute path'
const roots: [what: string, root: string, why: string][] = [
  ['relative', 'mnt/image', ''],
  ['this directory', '.', ''],
  ['not there', '$/none', ': no such file or directory'],
  ['a file', '$/file', ': it is no directory'],
  ['below a file', '$/file/x', ': part of its path is no directory'],
]
for (const command of ['install', 'uninstall']) {
  for (const [what, root, why] of roots) {
    test(`${command}: a root that is ${what} is one mistake, and nothing is made`, async (t) => {
      const directory = await temporaryDirectory(t)
      await writeFile(join(directory, 'file'), '')
      const io = new FakeIo()
      assert.equal(await run([command, '--systemd', '--root', root.replace('$', directory)], io), 1)
      assert.deepEqual([io.out, io.err.replaceAll(directory, '$')], ['', `error: --root: found "${root}"${why}, ${WANTED}\n`])
      assert.deepEqual(await readdir(directory), ['file'])
    })
  }
}

test('uninstall: a root that is there is taken', async (t) => {
  const io = new FakeIo()
  assert.equal(await run(['uninstall', '--systemd', '--dry-run', '--root', `${await temporaryDirectory(t)}/`], io), 0)
  assert.equal(io.err, '')
})
