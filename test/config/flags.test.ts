import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCommandLine } from '../../src/config/flags.ts'

const read: [sentence: string, args: string[], words: string[], values: Record<string, unknown>][] = [
  ['No arguments are no words and no flags', [], [], {}],
  ['A value may stand behind its flag', ['serve', '--port', '9000'], ['serve'], { port: 9000 }],
  ['A value may stand behind an equals sign', ['serve', '--port=9000'], ['serve'], { port: 9000 }],
  [
    'A long flag may have one dash, as with the old program',
    ['-port', '9000', 'serve', '-log-level=info'],
    ['serve'],
    { port: 9000, logLevel: 'info' },
  ],
  ['Global flags may stand before the command', ['--image-path', '/x', 'serve'], ['serve'], { imagePath: '/x' }],
  ['Global flags may stand behind the command', ['serve', '--image-path', '/x'], ['serve'], { imagePath: '/x' }],
  ['A switch needs no value', ['--air-gapped', 'serve'], ['serve'], { airGapped: true }],
  ['A switch may be switched off', ['serve', '--air-gapped=false', '--prefetch=false'], ['serve'], { airGapped: false, prefetch: false }],
  [
    'Settings have the names of the other program, too',
    ['serve', '-d', '/x', '-p', '3000', '-l', 'info', '-f', '/y'],
    ['serve'],
    { imagePath: '/x', port: 3000, logLevel: 'info', credsFile: '/y' },
  ],
  ['The long names of the other program work as well', ['--cache-dir', '/x', '--creds-file=/y'], [], { imagePath: '/x', credsFile: '/y' }],
  ['A value may be attached to a short flag', ['-p3000', '-d=/x', '-f/y'], [], { port: 3000, imagePath: '/x', credsFile: '/y' }],
  ['A configuration file may be named as in 1.7', ['--config-path', '/x'], [], { configFile: '/x' }],
  ['A configuration file may be named as in 1.7, with one dash', ['-config-path=/x'], [], { configFile: '/x' }],
  ['The level trace means debug', ['--log-level', 'TRACE'], [], { logLevel: 'debug' }],
  ['Behind two dashes a short flag is a word', ['--', '-p3000'], ['-p3000'], {}],
  ['Port 0 is any free port', ['--port', '0'], [], { port: 0 }],
  ['A switch may be switched on twice', ['--air-gapped', '--air-gapped=true'], [], { airGapped: true }],
  ['A level may be in capitals', ['--log-level', 'INFO'], [], { logLevel: 'info' }],
  ['An empty value means the default where that is nothing', ['--log-file='], [], { logFile: undefined }],
  ['A value may begin with a dash behind an equals sign', ['--log-file=-x'], [], { logFile: '-x' }],
  ['A dash alone is a value, as what stands for standard input', ['--log-file', '-', '--port', '1'], [], { logFile: '-', port: 1 }],
  ['So is one among others', ['--log-file', '-,a'], [], { logFile: '-,a' }],
  ['A value may contain an equals sign', ['--log-file', 'a=b'], [], { logFile: 'a=b' }],
  ['Behind two dashes everything is a word', ['serve', '--', '-port'], ['serve', '-port'], {}],
  ["Docker Hub's other names mean docker.io", ['--default-ns', 'index.docker.io'], [], { defaultNs: 'docker.io' }],
  ['An IPv6 address may be in brackets', ['--host', '[::1]'], [], { host: '::1' }],
  [
    'A list has a flag for each item',
    ['--private-registry', 'a.io', '--private-registry=B.io'],
    [],
    { privateRegistries: ['a.io', 'b.io'] },
  ],
  [
    'Expressions and switches have the short names of the other program',
    ['-t', '.*', '-m=false'],
    [],
    { skipTags: '.*', cacheManifests: false },
  ],
  ['A switch of the other program takes 0', ['--cache-manifests=0'], [], { cacheManifests: false }],
  ['A switch of the other program takes no', ['--cache-manifests=no'], [], { cacheManifests: false }],
  ['A switch of the other program takes F', ['--cache-manifests=F'], [], { cacheManifests: false }],
  ['A switch of the other program may stand alone', ['-m'], [], { cacheManifests: true }],
  ['Flags of a list and of a port are read', ['--preload-images', 'x', '--metrics', '10'], [], { preloadImages: 'x', metrics: 10 }],
  ['Preload lists may be files that have a dash in their names', ['--preload-images', './-,a-b'], [], { preloadImages: './-,a-b' }],
]
for (const [sentence, args, words, values] of read) {
  test(sentence, () => {
    const line = parseCommandLine(args)
    assert.deepEqual([line.words, line.values], [words, values])
  })
}

test('Help and version are asked for anywhere', () => {
  for (const args of [['--help'], ['-h'], ['-help'], ['serve', '-h'], ['--port', '1', 'serve', '--help']])
    assert.ok(parseCommandLine(args).help, args.join(' '))
  for (const args of [['--version'], ['-version'], ['-v'], ['serve', '--version'], ['serve', '-v']])
    assert.ok(parseCommandLine(args).version, args.join(' '))
})

const refused: [args: string[], message: string][] = [
  [['--prot', '1'], '--prot: found an unknown flag, want --port (the nearest) or another one that --help lists'],
  [['--image_path=/x'], '--image_path: found an unknown flag, want --image-path (the nearest) or another one that --help lists'],
  [['--zzz'], '--zzz: found an unknown flag, want one that --help lists'],
  [['-x', '80'], '-x: found an unknown flag, want one that --help lists'],
  [['-p', 'abc'], '-p: found "abc", want a whole number from 0 to 65535'],
  [['-p'], '-p: found no value, want a whole number from 0 to 65535'],
  [['-debug'], '--debug: found an unknown flag, want one that --help lists'],
  [['-l', 'loud'], '-l: found "loud", want debug, info, warn or error'],
  [['-d', '/x', '--image-path', '/y'], '--image-path: found beside -d, which is the same setting, want one of the two'],
  [['--image-path=/x', '--cache-dir=/x'], '--cache-dir: found beside --image-path, which is the same setting, want one of the two'],
  [
    ['--config-path', 'a', '--config-file', 'b'],
    '--config-file: found beside --config-path, which is the same setting, want one of the two',
  ],
  [['--port', '1', '-p', '2'], '-p: found beside --port, which is the same setting, want one of the two'],
  [['-p', '1', '-p', '2'], '-p: found more than once, want it once'],
  [['--port', '1', '--port=1'], '--port: found more than once, want it once'],
  [['--log-file=', '--log-file', 'x'], '--log-file: found more than once, want it once'],
  [['list', '--pattern', 'a', '--pattern', 'b'], '--pattern: found more than once, want it once'],
  [['--image-path', '/x', '-image-path', '/y'], '--image-path: found more than once, want it once'],
  [['--air-gapped', '--air-gapped=false'], '--air-gapped: found more than once, want it once'],
  ...['-', 'a.txt, -', '/dev/stdin,a.txt'].map((spec): [string[], string] => [
    ['--preload-images', spec],
    `--preload-images: found "${spec}", want files and globs; standard input can be read only once`,
  ]),
  [['--vresion'], '--vresion: found an unknown flag, want --version (the nearest) or another one that --help lists'],
  [['--constructor'], '--constructor: found an unknown flag, want one that --help lists'],
  [['--port'], '--port: found no value, want a whole number from 0 to 65535'],
  [['--port='], '--port: found no value, want a whole number from 0 to 65535'],
  [['--image-path', ''], '--image-path: found no value, want a path'],
  [['--port', '--host', '::'], '--port: found no value, want a whole number from 0 to 65535'],
  [['--port', 'abc'], '--port: found "abc", want a whole number from 0 to 65535'],
  [['--port', '-1'], '--port: found "-1", want a whole number from 0 to 65535'],
  [['--port', '65536'], '--port: found "65536", want a whole number from 0 to 65535'],
  [['--port', '80.5'], '--port: found "80.5", want a whole number from 0 to 65535'],
  [['--pull-timeout', '0'], '--pull-timeout: found "0", want a whole number from 1 to 2147483647'],
  [['--log-level', 'loud'], '--log-level: found "loud", want debug, info, warn or error'],
  [['--log-format', 'xml'], '--log-format: found "xml", want text or json'],
  [['--air-gapped=maybe'], '--air-gapped: found "maybe", want true or false'],
  [['--air-gapped', 'false'], '--air-gapped: found "false" behind a blank, want --air-gapped=false'],
  [['--default-ns', 'a b'], '--default-ns: found "a b", want a registry: host or host:port'],
  [['--default-ns', 'me:secret@quay.io'], '--default-ns: found "…@quay.io", want a registry: host or host:port'],
  [['--host', 'http://x'], '--host: found "http://x", want an IP address or a host name, without a port'],
  [['--skip-tags', ''], "--skip-tags: found no value, want Go's regular expression, such as ^latest$, or .* for all"],
  [['--private-registry='], '--private-registry: found no value, want a registry: host or host:port'],
  [['--private-registry', 'a b'], '--private-registry: found "a b", want a registry: host or host:port'],
  [['--cache-manifests', 'false'], '--cache-manifests: found "false" behind a blank, want --cache-manifests=false'],
  [['--cache-manifests=maybe'], '--cache-manifests: found "maybe", want true or false'],
  [['--host', '127.0.0.1:80'], '--host: found "127.0.0.1:80", want an IP address or a host name, without a port'],
]
for (const [args, message] of refused) {
  test(`'${args.join(' ')}' is refused in one line`, () => assert.throws(() => parseCommandLine(args), { name: 'ConfigError', message }))
}
