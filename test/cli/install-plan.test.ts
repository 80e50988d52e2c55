import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressIn, commandsAfterInstall, filesToInstall, formatAddress, whoReaches } from '../../src/cli/install-plan.ts'
import { parseSocketAddress } from '../../src/config/value-types.ts'

const texts = { service: '1', socket: '2', sysusers: '3', tmpfiles: '4', config: '5' }
const PROGRAM = '/usr/local/bin/ociregistry'
const SOCKET = '/etc/systemd/system/ociregistry.socket'

test('Every file has its place and mode, and only the configuration is somebody else’s', () => {
  assert.deepEqual(
    filesToInstall(texts, Buffer.from('0'), undefined).map(({ path, content, mode, isTheirs }) => [
      path,
      String(content),
      mode.toString(8),
      isTheirs === true,
    ]),
    [
      [PROGRAM, '0', '755', false],
      ['/etc/systemd/system/ociregistry.service', '1', '644', false],
      [SOCKET, '2', '644', false],
      ['/etc/sysusers.d/ociregistry.conf', '3', '644', false],
      ['/etc/tmpfiles.d/ociregistry.conf', '4', '644', false],
      ['/etc/ociregistry/config.yaml', '5', '644', true],
    ],
  )
})

test('Another address lies beside the units, so that an upgrade keeps it', () => {
  const files = filesToInstall(texts, Buffer.from('0'), { host: '::', port: 80 }).filter(({ path }) => path.endsWith('listen.conf'))
  assert.deepEqual(
    files.map(({ path, content }) => [path, content]),
    [
      ['/etc/systemd/system/ociregistry.service.d/listen.conf', '[Service]\nEnvironment=OCIREGISTRY_HOST=:: OCIREGISTRY_PORT=80\n'],
      ['/etc/systemd/system/ociregistry.socket.d/listen.conf', '[Socket]\nListenStream=\nListenStream=[::]:80\n'],
    ],
  )
  assert.deepEqual(addressIn(String(files[1]?.content)), { host: '::', port: 80 })
  assert.equal(addressIn('[Socket]\nListenStream=/run/x\n'), undefined)
})

const commands: [what: string, changed: readonly string[], wanted: readonly string[]][] = [
  ['Nothing changed: it is only seen to that all runs', [], ['systemctl start ociregistry.socket', 'systemctl start ociregistry.service']],
  [
    'A new program: the service is restarted, the socket stays',
    [PROGRAM],
    ['systemctl start ociregistry.socket', 'systemctl restart ociregistry.service'],
  ],
  [
    'Another address: the socket is moved',
    [`${SOCKET}.d/listen.conf`],
    [
      'systemctl stop ociregistry.service ociregistry.socket',
      'systemctl start ociregistry.socket',
      'systemctl restart ociregistry.service',
    ],
  ],
]

for (const [what, changed, wanted] of commands) {
  test(what, () => {
    assert.deepEqual(
      commandsAfterInstall(new Set(changed), undefined).map((command) => command.join(' ')),
      [
        'systemd-sysusers /etc/sysusers.d/ociregistry.conf',
        'systemd-tmpfiles --create /etc/tmpfiles.d/ociregistry.conf',
        'systemctl daemon-reload',
        'systemctl enable ociregistry.service ociregistry.socket',
        ...wanted,
      ],
    )
  })
}

const addresses: [text: string, wanted: string | undefined, isOpen?: boolean][] = [
  ['127.0.0.1:8080', '127.0.0.1:8080', false],
  ['127.1.2.3:1', '127.1.2.3:1', false],
  ['[::1]:8080', '[::1]:8080', false],
  ['0.0.0.0:8080', '0.0.0.0:8080', true],
  ['[::]:65535', '[::]:65535', true],
  ['10.0.0.7:80', '10.0.0.7:80', true],
  ['::1:8080', undefined],
  ['8080', undefined],
  ['localhost:8080', undefined],
  ['10.0.0.7:0', undefined],
  ['10.0.0.7:65536', undefined],
  ['10.0.0.7', undefined],
  ['[10.0.0.7]:80', undefined],
]

for (const [text, wanted, isOpen] of addresses) {
  test(`--listen ${text}: ${wanted === undefined ? 'refused' : isOpen ? 'open to others' : 'for this host'}`, () => {
    const address = parseSocketAddress(text)
    assert.equal(address && formatAddress(address), wanted)
    assert.equal(address && whoReaches(address).isOpen, isOpen)
  })
}
